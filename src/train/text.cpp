#include "text.h"

#include <fmt/format.h>

#include <cmath>

namespace knlp::train {

std::string duration_text(double seconds) {
    if (!std::isfinite(seconds) || seconds > 1e10) return "unknown";
    if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1e3);
    if (seconds < 60) return fmt::format("{:.1f} s", seconds);
    const auto s = static_cast<int64_t>(std::llround(seconds));
    if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
    if (s < 86400) return fmt::format("{} h {:02} min", s / 3600, s % 3600 / 60);
    return fmt::format("{} d {:02} h", s / 86400, s % 86400 / 3600);
}

std::string count_text(int64_t count) {
    const auto c = static_cast<double>(count);
    if (std::abs(c) >= 1e9) return fmt::format("{:.2f} G", c / 1e9);
    if (std::abs(c) >= 1e6) return fmt::format("{:.1f} M", c / 1e6);
    std::string digits = std::to_string(count);
    for (auto at = std::ssize(digits) - 3; at > (count < 0 ? 1 : 0); at -= 3)
        digits.insert(static_cast<size_t>(at), 1, ',');
    return digits;
}

}  // namespace knlp::train
