#pragma once

#include <optional>
#include <string_view>

namespace knlp::bench {

/// Dense bf16 FLOP/s that the maker states for a CUDA device of this name; nothing for devices that
/// are not in the table, so that no share of a peak is made up.
std::optional<double> bf16_peak(std::string_view device_name);

}  // namespace knlp::bench
