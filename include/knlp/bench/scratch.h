#pragma once

#include <filesystem>

namespace knlp::bench {

/// A directory of our own below another, deleted with all that is in it.
class Scratch {
public:
    /// Error{kRun, "E_IO"} when `parent` cannot be written.
    explicit Scratch(const std::filesystem::path& parent);
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

}  // namespace knlp::bench
