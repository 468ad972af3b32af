#include "knlp/track/run_dir.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"

#include <nlohmann/json.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace knlp::track {

namespace fs = std::filesystem;

namespace {

/// Files that only a run directory has; one of them is enough to know it.
bool looks_like_a_run(const fs::path& path) {
    for (const char* name :
         {"config.resolved.json", "manifest.json", "status.json", "metrics.jsonl"})
        if (fs::exists(path / name)) return true;
    return false;
}

/// mkdir that must be the one to create it; false when it is there already.
bool create_exclusively(const fs::path& path) {
    if (mkdir(path.c_str(), 0777) == 0) return true;
    if (errno == EEXIST) return false;
    fail_code(kRun, "E_IO", "{}: cannot create the run directory: {}; choose another with --out",
              path.string(), std::strerror(errno));
}

void create_parents(const fs::path& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error)
        fail_code(
            kRun, "E_IO",
            "{}: cannot create the directory for runs: {}; choose another with --out or OUTPUT_DIR",
            path.string(), error.message());
}

}  // namespace

struct RunDir::Hold {
    FileLock lock;
    struct stat directory;
    std::function<void()> check;
};

RunDir::RunDir(fs::path path) : path_(std::move(path)) {}

RunDir RunDir::create(const fs::path& output_dir, const std::string& name, const fs::path& out) {
    fs::path path = out.lexically_normal();
    if (!path.empty() && path.filename().empty())
        path = path.parent_path();  // "runs/x/" is "runs/x"
    if (path.empty()) {
        const fs::path runs = output_dir / "runs";
        create_parents(runs);
        const std::string stamp = utc_stamp();
        // Two runs of one second get different names.
        for (int copy = 1; path.empty(); ++copy) {
            const fs::path candidate =
                runs / (stamp + "-" + name + (copy > 1 ? "." + std::to_string(copy) : ""));
            if (create_exclusively(candidate)) path = candidate;
        }
    } else {
        if (path.has_parent_path()) create_parents(path.parent_path());
        if (!create_exclusively(path) && !(fs::is_directory(path) && fs::is_empty(path)))
            fail(kUsage,
                 "{}: exists and is not an empty directory; choose another --out, or go on with it "
                 "by --resume",
                 path.string());
    }
    if (!create_exclusively(path / "checkpoints"))
        fail(kUsage, "{}: another process has just started a run here; choose another --out",
             path.string());
    sync_directory(path);
    return RunDir(path);
}

RunDir RunDir::open(const fs::path& path) {
    if (!fs::is_directory(path))
        fail(kData, "{}: no such run directory; `knlp report list` shows the runs", path.string());
    if (!looks_like_a_run(path))
        fail(
            kData,
            "{}: not a run directory: it has no config.resolved.json, manifest.json or status.json",
            path.string());
    fs::path normal = path.lexically_normal();
    return RunDir(normal.filename().empty() ? normal.parent_path() : normal);
}

void RunDir::lock() {
    if (hold_) return;
    hold_ = std::shared_ptr<Hold>(
        new Hold{.lock = FileLock(path_ / "lock"), .directory = {}, .check = {}});
    if (stat(path_.c_str(), &hold_->directory) != 0) fail_io(path_, "cannot stat", errno);
}

void RunDir::also_require(std::function<void()> check) {
    KNLP_CHECK(hold_);
    hold_->check = std::move(check);
}

void RunDir::require_ours() const {
    if (!hold_) return;
    if (hold_->check) hold_->check();
    struct stat now {};
    // One that is gone is no other run's; what is to be written there says so itself.
    if (stat(path_.c_str(), &now) != 0) return;
    if (now.st_dev != hold_->directory.st_dev || now.st_ino != hold_->directory.st_ino)
        fail(kLocked,
             "{}: another attempt has taken the place of this one, which ends without a trace; "
             "nothing needs to be done",
             path_.string());
}

void RunDir::write(const std::string& name, std::string_view text) const {
    AtomicFile out(file(name));
    out.write(text);
    require_ours();
    out.commit();
}

Saved last_saved(const fs::path& run_directory) {
    Saved saved;
    std::error_code error;
    for (const fs::directory_entry& entry :
         fs::directory_iterator(run_directory / "checkpoints", error)) {
        // Names that begin with a dot are checkpoints that were not finished.
        if (!entry.path().filename().string().starts_with("step-")) continue;
        try {
            const nlohmann::json state = read_json(entry.path() / "state.json");
            if (const int64_t step = state.at("step").get<int64_t>(); step > saved.step)
                saved = {.step = step, .tokens = state.at("tokens_seen").get<int64_t>()};
        } catch (const std::exception& damage) {
            log::debug("{}: {}", entry.path().string(), damage.what());
        }
    }
    return saved;
}

fs::path newest_run(const fs::path& output_dir, const std::vector<std::string>& states) {
    fs::path newest;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(output_dir / "runs", error)) {
        if (!entry.is_directory() || !looks_like_a_run(entry.path())) continue;
        // Names begin with the UTC time, so their order is that of their starts.
        if (!newest.empty() && entry.path().filename() < newest.filename()) continue;
        if (!states.empty()) {
            std::string state;
            try {
                state = read_status(RunDir::open(entry.path())).value("state", "");
            } catch (const Error&) {
                continue;  // a damaged status belongs to no state
            }
            if (std::find(states.begin(), states.end(), state) == states.end()) continue;
        }
        newest = entry.path();
    }
    return newest;
}

}  // namespace knlp::track
