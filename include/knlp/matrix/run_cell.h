#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace knlp::matrix {

struct CellRequest {
    std::filesystem::path matrix;
    int64_t index = 0;
    bool allow_drift = false;  // other binary, data or machine than planned: recorded, not refused
    std::string command_line;  // for the manifest
};

/// Does one cell in this process: nothing when it is done, else it goes on from its checkpoint or
/// begins, after moving an attempt that failed to attempts/. Returns the exit status of the run: 0
/// done, 75 and 130 stopped.
/// Error{kUsage} where there is no such cell; Error{kLocked} when another process works on it, or
/// took it over because this one gave no sign of life; Error{kData} listing what differs from the
/// plan, unless allow_drift; Error{kRun, "E_DIVERGED"} for a cell that diverged: only a rerun
/// repeats it; and what training throws.
int run_cell(const CellRequest& request);

}  // namespace knlp::matrix
