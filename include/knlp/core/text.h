#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace knlp {

/// Seconds for people: "850 ms", "3.2 s", "4 min 10 s", "1 h 05 min", "2 d 03 h"; "unknown" for
/// what is negative, not finite or beyond 300 years.
std::string duration_text(double seconds);

/// The parts of a list, empty ones too: one more than there are separators.
std::vector<std::string> split(std::string_view text, char separator);

}  // namespace knlp
