#pragma once

#include <filesystem>
#include <vector>

namespace knlp {

/// A directory being made under a temporary name beside `target`. Destroyed without publish:
/// removed, with the directories made above it. What a maker that was killed has left beside
/// `target`, for this target or another, goes when the next one begins.
class StagedDirectory {
public:
    /// Makes it, and the directories above `target`. Error{kUsage} when target is there and not
    /// `replace`, and Error{kRun, "E_IO"} when it cannot be made.
    StagedDirectory(std::filesystem::path target, bool replace);
    ~StagedDirectory();
    StagedDirectory(const StagedDirectory&) = delete;
    StagedDirectory& operator=(const StagedDirectory&) = delete;

    const std::filesystem::path& path() const { return staged_; }
    /// Renames it to the target. When somebody else made the target meanwhile, theirs stays
    /// (false).
    bool publish();

private:
    void let_go();
    void discard();
    std::filesystem::path target_, staged_;
    int hold_ = -1;  // lock that lives as long as this maker
    std::vector<std::filesystem::path>
        made_;  // directories above the target that were not there, inner first
    bool replace_;
};

}  // namespace knlp
