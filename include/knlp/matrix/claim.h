#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace knlp::matrix {

struct Cell;

/// Who works on a cell, as claims/<cell id> says.
struct ClaimInfo {
    std::string nonce;  // of this claim alone
    std::string host, boot_id, started;
    int64_t pid = 0;
};

enum class Holder {
    kNone,    // nobody: there is no claim
    kAlive,   // works on the cell, as far as can be told
    kGone,    // dead: its lock is free, or its machine has been started again
    kSilent,  // on another machine and without a sign of life for kSilence_s: it may live
};
/// Four heartbeats of a run.
constexpr double kSilence_s = 120;

struct ClaimView {
    Holder holder = Holder::kNone;
    ClaimInfo info;
};
/// Looks at the claim of a cell. Error{kLocked} naming the file when what lies there is no claim.
ClaimView look_at_claim(const std::filesystem::path& matrix, const Cell& cell);

/// The exclusive right to work on a cell, of this process, for its life. No server is asked: a
/// claim is a file that one of several link(2) calls makes, whole from the start, and its holder
/// keeps a lock on it, which ends with the process however that ends.
class Claim {
public:
    /// Error{kLocked} naming the holder when another works on the cell.
    Claim(const std::filesystem::path& matrix, const Cell& cell);
    ~Claim();  // gives it back, unless it was lost
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

    /// It was taken from a process that may live, and which then may still write to the cell's
    /// directory.
    bool taken_from_silent() const { return from_silent_; }
    /// Error{kLocked} when another has taken it: this process was silent for too long.
    void require_ours() const;

private:
    bool link_new();
    void take_over(const ClaimView& seen);
    [[noreturn]] void refuse(const ClaimInfo& holder) const;

    std::filesystem::path matrix_, file_, temporary_;
    const Cell& cell_;
    std::string nonce_;
    int fd_ = -1;
    bool held_ = false, from_silent_ = false;
};

}  // namespace knlp::matrix
