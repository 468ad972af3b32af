#include "src/app/commands/unfinished.h"

#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/log.h"
#include "knlp/track/index.h"
#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;

/// When a run that can go on began; "" for one that is gone, damaged or done.
std::string start_of_unfinished(const fs::path& run) {
    try {
        const std::string state = track::read_status(track::RunDir::open(run)).value("state", "");
        if (state != "preempted" && state != "running" && state != "failed") return "";
        return track::read_manifest(run).value("started", "");
    } catch (const std::exception&) {
        return "";
    }
}

bool is_cell(const fs::path& run) {
    return fs::exists(run.parent_path().parent_path() / "plan.json");
}

}  // namespace

fs::path configured_output_dir(const Common& common) {
    return config::read_general(load_symbols_or_defaults(common)).output_dir;
}

Unfinished newest_unfinished_run(const fs::path& output) {
    Unfinished newest{.path = track::newest_run(output, {"preempted", "running", "failed"}),
                      .started = ""};
    if (!newest.path.empty()) newest.started = start_of_unfinished(newest.path);
    try {
        for (const track::IndexedRun& run : track::list_runs(output)) {
            const fs::path path = output / run.path;  // the index holds outside ones as absolute
            const std::string start = start_of_unfinished(path);
            if (start <= newest.started || is_cell(path)) continue;
            newest = {path, start};
        }
    } catch (const Error& error) {
        log::warn("{}", error.what());
    }
    return newest;
}

}  // namespace knlp::app
