// What a planned matrix is on the disk.

#include "cell_config.h"
#include "knlp/matrix/cell_result.h"
#include "knlp/matrix/planner.h"

#include "knlp/config/matrix.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/track/recorded.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;

/// The files of a finished run, under both directories: nothing writes into them any more, all that
/// is made anew replaces its file.
void take_over(const fs::path& from, const fs::path& to) {
    fs::create_directories(to);
    for (const fs::directory_entry& entry : fs::directory_iterator(from)) {
        const fs::path target = to / entry.path().filename();
        if (entry.is_directory()) {
            take_over(entry.path(), target);
        } else if (entry.is_regular_file() && !entry.path().filename().string().starts_with(".")) {
            std::error_code error;
            fs::create_hard_link(entry.path(), target, error);
            if (error) fs::copy_file(entry.path(), target);
        }
    }
    sync_directory(to);
}

}  // namespace

std::string kept_path(const std::string& sha256) {
    return fmt::format("bin/{}/knlp", sha256.substr(0, 12));
}

std::string keep_binary(const fs::path& directory, const fs::path& binary) {
    const std::string sha256 = sha256_file(binary);
    const fs::path kept = directory / kept_path(sha256);
    fs::create_directories(kept.parent_path());
    {
        // A copy: what is linked would change with a build that writes in place.
        const MappedFile content(binary);
        AtomicFile file(kept);
        file.expect(std::ssize(content.bytes()));
        file.write(content.bytes());
        file.commit();
    }
    fs::permissions(kept, fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                              fs::perms::others_read | fs::perms::others_exec);
    sync_directory(kept.parent_path());
    sync_directory(kept.parent_path().parent_path());
    return sha256;
}

void write_plan(const fs::path& directory, const fs::path& output_dir, Plan& plan,
                const config::Symbols& base, const fs::path& binary) {
    const std::string own = keep_binary(directory, binary);
    for (const Build& build : plan.builds)
        if (!fs::exists(directory / build.path))
            fail(kRun,
                 "{}: the binary of a build is not there; {} was replaced while the plan was made",
                 (directory / build.path).string(), binary.string());
    const bool used = std::any_of(plan.builds.begin(), plan.builds.end(),
                                  [&](const Build& build) { return build.sha256 == own; });
    if (!used) fs::remove_all((directory / kept_path(own)).parent_path());
    for (const Cell& cell : plan.cells)
        if (!cell.imported_from.empty())
            take_over(output_dir / cell.imported_from, cell_directory(directory, cell));
    if (fs::exists(directory / "cells")) sync_directory(directory / "cells");
    write_file_atomic(directory / kBaseConfigFile, track::recorded_config(base.dot_config()));
    write_file_atomic(directory / kPlanFile, plan_text(plan));
}

Extension extend_plan(const fs::path& directory, const std::vector<uint64_t>& seeds, bool dry_run) {
    const Plan plan = read_plan(directory);
    for (const uint64_t seed : seeds)
        if (std::find(plan.seeds.begin(), plan.seeds.end(), seed) != plan.seeds.end())
            fail(kUsage, "{}: the seed {} is planned already; give others", directory.string(),
                 seed);
    const config::Symbols base = config::Symbols::load_for_any_build(directory / kBaseConfigFile);
    std::vector<Cell> cells;
    for (const uint64_t seed : seeds)
        for (const Arm& arm : plan.arms) {
            const config::Symbols symbols = base.with(overrides_of(arm));
            if (symbols.experiment_hash({}) != arm.config_sha256)
                fail(kData,
                     "{}: the arm '{}' is another experiment in this binary; extend it with the "
                     "one that "
                     "the plan keeps, {}",
                     directory.string(), arm.id, plan.build(arm.build).path);
            cells.push_back({.index = std::ssize(plan.cells) + std::ssize(cells),
                             .id = fmt::format("{}_s{}", arm.id, seed),
                             .arm = arm.id,
                             .seed = seed,
                             .config_sha256 = symbols.experiment_hash(seed),
                             .imported_from = ""});
        }
    Extension extension{.seeds = seeds, .created = utc_now(), .done_before = 0, .sha256 = ""};
    extension.done_before =
        std::count_if(plan.cells.begin(), plan.cells.end(),
                      [&](const Cell& cell) { return is_done(cell_directory(directory, cell)); });
    if (dry_run) return extension;
    const FileLock lock(directory / ".extending");  // of two at once one reads what the other wrote
    const fs::path file = next_extension_file(directory, plan);
    if (fs::exists(file))
        fail(kLocked, "{}: another extension was made meanwhile; try again", directory.string());
    write_file_atomic(file, extension_text(plan, extension, cells));
    return extension;
}

}  // namespace knlp::matrix
