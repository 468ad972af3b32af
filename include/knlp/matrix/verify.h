#pragma once

#include "knlp/matrix/plan.h"

#include <filesystem>
#include <string>
#include <vector>

namespace knlp::matrix {

/// What is not as it was planned: binaries in the matrix directory, and the data that a cell would
/// find, by their hashes; a line each. Data that is absent is made, where it can be made here.
std::vector<std::string> drift_of(const std::filesystem::path& matrix, const Plan& plan);

/// Error{kData} listing them, unless allow_drift: then they are warned of and noted in
/// journal.jsonl.
void require_no_drift(const std::filesystem::path& matrix, const Plan& plan, bool allow_drift);

/// The newest plan below `output_dir`/matrix of which cells are left to run, "" if there is none;
/// `created` gets when it was made. Directories that are no matrix are passed over.
std::filesystem::path newest_unfinished_matrix(const std::filesystem::path& output_dir,
                                               std::string& created);

/// Moves the runs of cells that match to attempts/, so that a runner does them anew. Those that run
/// are refused with Error{kLocked} before any is moved. Returns how many there were.
int64_t set_aside(const std::filesystem::path& matrix, const Plan& plan, const std::string& glob);

}  // namespace knlp::matrix
