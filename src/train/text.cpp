#include "text.h"

#include <fmt/format.h>

#include <cmath>

namespace knlp::train {

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
