#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "knlp/matrix/analysis.h"

namespace knlp::matrix {

/// The paired differences of a few seeds, from which the spread of a larger experiment is guessed.
struct Pilot {
    std::vector<double> differences;  // at least two, which vary
    std::vector<Dropped> dropped;     // of runs: seeds that did not pair
    double mean = 0, sd = 0;
};

/// One difference a line; blank lines and what follows '#' are passed over. Error{kData} with file
/// and line.
Pilot read_pilot(const std::filesystem::path& file);

/// From finished runs of the same seeds, which pair by seed. Error{kData} where they give fewer
/// than two pairs, with the reason of the first that was dropped.
Pilot pilot_of_runs(std::span<const std::string> baseline, std::span<const std::string> arm);

}  // namespace knlp::matrix
