#pragma once

#include <cstdint>
#include <string>

namespace knlp::train {

/// "1.3 GB", "12 MB", "812 B": powers of 1000, two or three digits.
std::string bytes_text(int64_t bytes);
/// "2 d 03 h", "1 h 05 min", "4 min 10 s", "3.2 s", "850 ms".
std::string duration_text(double seconds);
/// "124.4 M", "842,624": short form of a count of a million and more, digits in groups below.
std::string count_text(int64_t count);

}  // namespace knlp::train
