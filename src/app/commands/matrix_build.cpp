#include "src/app/commands/matrix_build.h"

#include "knlp/config/build_info.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/log.h"
#include "knlp/core/program.h"
#include "knlp/matrix/planner.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;

void require_revision(const fs::path& source, const matrix::Build& build) {
    const config::BuildInfo& here = config::build_info();
    if (build.git_commit != here.git_commit || build.git_diff_sha256 != here.git_diff_sha256)
        fail(kNotAvailable,
             "{}: the source tree is at revision {}{}, this binary is of {}{}; arms that differ in "
             "build symbols must be of one revision: run make, then plan again",
             source.string(), build.git_commit,
             build.git_diff_sha256.empty() ? "" : " with changes", here.git_commit,
             here.git_diff_sha256.empty() ? "" : " with changes");
}

/// What a binary says of itself.
matrix::Build described(const fs::path& binary) {
    const Ran version = run_program({binary.string(), "--version", "--json"});
    const nlohmann::json said = nlohmann::json::parse(version.out, nullptr, false);
    if (version.status != 0 || !said.is_object())
        fail(kRun, "{}: the binary that was built does not run", binary.string());
    const auto text = [&said](const char* name) {
        return said.contains(name) && said[name].is_string() ? said[name].get<std::string>() : "";
    };
    matrix::Build build;
    build.build_config_sha256 = text("build_config_sha256");
    build.git_commit = text("git_commit");
    build.git_diff_sha256 = text("git_diff_sha256");
    return build;
}

/// `make` for a goal of the tree, in a directory of its own; nothing of the make around it counts.
void make(const fs::path& source, const fs::path& work, const fs::path& pch,
          const std::string& goal) {
    const int status =
        run_program_aloud({"env", "-u", "MAKEFLAGS", "-u", "MFLAGS", "-u", "MAKELEVEL", "-u",
                           "KNLP_MAKE_SET", "-u", "KCONFIG_CONFIG", "make", "-C", source.string(),
                           "O=" + work.string(), "PCH_DIR=" + pch.string(), goal});
    if (status != 0)
        fail(kRun, "make O={} {}: status {}; its messages are above", work.string(), goal, status);
}

/// The revision that a build in `work` would have, as make writes it down.
matrix::Build revision_of(const fs::path& version_header) {
    const std::string text = read_file(version_header);
    const auto value = [&text](const std::string& name) {
        const size_t at = text.find("#define " + name + " \"");
        if (at == std::string::npos) return std::string();
        const size_t begin = text.find('"', at) + 1;
        return text.substr(begin, text.find('"', begin) - begin);
    };
    matrix::Build build;
    build.git_commit = value("KNLP_GIT_COMMIT");
    build.git_diff_sha256 = value("KNLP_GIT_DIFF_SHA256");
    return build;
}

}  // namespace

matrix::Build build_for(const config::Symbols& arm, const BuildPlace& place,
                        const fs::path& matrix) {
    const fs::path source = fs::absolute(place.source).lexically_normal();
    if (!fs::exists(source / "scripts/kconfig/buildtime.list"))
        fail(kNotAvailable,
             "{}: no source tree of knlp, and an arm needs another build; run from the tree of "
             "this binary, or give --source DIR",
             source.string());
    const std::string text = arm.dot_config();
    const fs::path work = fs::absolute(matrix) / "bin" / ("work-" + sha256_hex(text).substr(0, 12));
    fs::create_directories(work);
    write_file_atomic(work / ".config", text);
    const fs::path pch = place.pch.empty() ? source / "build/pch" : fs::absolute(place.pch);
    // What this binary was linked from serves the other one too, but for what the arm changes.
    run_program({(source / "scripts/share-objects").string(),
                 fs::read_symlink("/proc/self/exe").parent_path().string(), work.string()});
    const fs::path version = work / "include/generated/version.h";
    make(source, work, pch, version.string());
    require_revision(source, revision_of(version));
    log::info("building knlp for an arm in {}", work.string());
    make(source, work, pch, "build");
    matrix::Build build = described(work / "knlp");
    require_revision(source, build);  // again: it may have been edited meanwhile
    build.sha256 = matrix::keep_binary(matrix, work / "knlp");
    build.path = matrix::kept_path(build.sha256);
    fs::remove_all(work);
    return build;
}

}  // namespace knlp::app
