#include "knlp/core/utc.h"

#include "knlp/core/host.h"

#include <array>
#include <ctime>

namespace knlp {

std::string utc_before(double seconds) {
    const auto then = static_cast<time_t>(wall_seconds() - seconds);
    struct tm fields {};
    std::array<char, 32> text{};
    ::gmtime_r(&then, &fields);
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &fields)};
}

}  // namespace knlp
