#pragma once

#include <cstdint>
#include <string>

namespace knlp::train {

/// "2 d 03 h", "1 h 05 min", "4 min 10 s", "3.2 s", "850 ms".
std::string duration_text(double seconds);
/// "124.4 M", "842,624": short form of a count of a million and more, digits in groups below.
std::string count_text(int64_t count);

}  // namespace knlp::train
