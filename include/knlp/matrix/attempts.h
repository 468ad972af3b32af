#pragma once

#include <cstdint>
#include <filesystem>

namespace knlp::matrix {

struct Cell;

/// Where earlier attempts at a cell are kept: attempt.1, attempt.2, …
std::filesystem::path attempts_directory(const std::filesystem::path& matrix, const Cell& cell);

/// Moves the cell's run directory to the attempts; whoever calls holds the claim. Returns where it
/// is then, "" when there was none.
std::filesystem::path keep_attempt(const std::filesystem::path& matrix, const Cell& cell);

/// The same for an attempt whose process may come back to life: what it needs to go on from its
/// checkpoints is first copied (those linked, for they never change), and the copy takes its place.
/// False when it had no checkpoint: there is no run directory then.
bool displace_attempt(const std::filesystem::path& matrix, const Cell& cell);

struct KeptAttempts {
    int64_t all = 0, failed = 0;
};
KeptAttempts count_attempts(const std::filesystem::path& matrix, const Cell& cell);

}  // namespace knlp::matrix
