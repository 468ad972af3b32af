#pragma once

#include <optional>
#include <string_view>

namespace knlp::model {

/// Dense bf16 FLOP/s that the maker states for a CUDA device of this name; nothing for devices that
/// are not in the table, so that no share of a peak is made up.
std::optional<double> bf16_peak(std::string_view device_name);

/// Share of `peak` FLOP/s that training takes at this speed, by the FLOPs that flops_per_token()
/// counts.
double mfu(double tokens_per_s, double flops_per_token, double peak);

}  // namespace knlp::model
