#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace knlp::config {

struct BuildInfo {
    std::string_view version, git_commit, compiler, flags, torch_version, build_config_sha256,
        build_type;
    std::string_view git_diff_sha256;  // of `git diff HEAD` when git_dirty, else ""
    bool git_dirty = false;
};
const BuildInfo& build_info();

/// Build symbols compiled into this binary, as .config lines.
std::string_view embedded_build_config();

/// Value of a build symbol in this binary; "n" for one that is off.
std::string_view built(std::string_view name);

}  // namespace knlp::config
