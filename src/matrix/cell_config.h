#pragma once

#include "knlp/config/symbols.h"
#include "knlp/matrix/plan.h"

#include <filesystem>

namespace knlp::matrix {

/// The configuration of a cell: config.txt of its matrix directory, the settings of its arm, its
/// seed; the last two have origin "matrix". For the binary that the arm was built for.
/// Error{kData} where config.txt is not the one that was planned with, or the result is not the
/// experiment of the plan; Error{kConfig, "E_BUILD_MISMATCH"} in another binary.
config::Symbols cell_symbols(const std::filesystem::path& matrix, const Plan& plan,
                             const Cell& cell);

/// "cuda" of "cuda:1".
std::string device_kind(const std::string& device);

/// The overrides of an arm, and of a seed.
std::vector<config::Symbols::Override> overrides_of(const Arm& arm);
config::Symbols::Override override_of(uint64_t seed);

}  // namespace knlp::matrix
