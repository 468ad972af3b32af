#pragma once

#include <cstdint>
#include <string>

namespace knlp::train {

/// "124.4 M", "842,624": short form of a count of a million and more, digits in groups below.
std::string count_text(int64_t count);

}  // namespace knlp::train
