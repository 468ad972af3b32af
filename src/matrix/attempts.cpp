#include "knlp/matrix/attempts.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/core/parse.h"
#include "knlp/matrix/plan.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <string>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "attempt.";

[[noreturn]] void io_error(const fs::path& path, const std::error_code& error) {
    fail_code(kRun, "E_IO", "{}: {}", path.string(), error.message());
}

std::optional<int64_t> number_of(const fs::path& attempt) {
    const std::string name = attempt.filename().string();
    if (!name.starts_with(kPrefix)) return std::nullopt;
    return parse_int(name.substr(kPrefix.size()));
}

std::string state_of(const fs::path& run) {
    try {
        return read_json(run / "status.json", 1 << 20).value("state", "");
    } catch (const std::exception&) {
        return "";
    }
}

/// A checkpoint whose files are those of `from`, or their copies where the file system has no
/// links.
void link_checkpoint(const fs::path& from, const fs::path& to) {
    fs::create_directories(to);
    for (const auto& entry : fs::directory_iterator(from)) {
        std::error_code refused;
        fs::create_hard_link(entry.path(), to / entry.path().filename(), refused);
        if (refused) fs::copy_file(entry.path(), to / entry.path().filename());
    }
}

/// What a run needs to be gone on with; false when there is no checkpoint.
bool copy_run(const fs::path& from, const fs::path& to) {
    if (track::last_saved(from).step == 0) return false;
    for (const auto& entry : fs::directory_iterator(from / "checkpoints")) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with("step-")) continue;
        // The other may be deleting its older ones.
        try {
            link_checkpoint(entry.path(), to / "checkpoints" / name);
        } catch (const fs::filesystem_error& gone) {
            log::debug("{}: {}", name, gone.what());
            fs::remove_all(to / "checkpoints" / name);
        }
    }
    for (const char* name :
         {"config", "config.resolved.json", "manifest.json", "status.json", "metrics.jsonl"})
        fs::copy_file(from / name, to / name);
    if (fs::exists(from / "tokenizer"))
        fs::copy(from / "tokenizer", to / "tokenizer", fs::copy_options::recursive);
    return track::last_saved(to).step > 0;
}

}  // namespace

fs::path attempts_directory(const fs::path& matrix, const Cell& cell) {
    return matrix / "attempts" / cell.id;
}

fs::path keep_attempt(const fs::path& matrix, const Cell& cell) {
    const fs::path run = cell_directory(matrix, cell);
    if (!fs::exists(run)) return {};
    const fs::path parent = attempts_directory(matrix, cell);
    std::error_code error;
    fs::create_directories(parent, error);
    if (error) io_error(parent, error);
    int64_t last = 0;
    for (const auto& entry : fs::directory_iterator(parent))
        last = std::max(last, number_of(entry.path()).value_or(0));
    const fs::path kept = parent / fmt::format("{}{}", kPrefix, last + 1);
    fs::rename(run, kept, error);
    if (error) io_error(kept, error);
    sync_directory(parent);
    return kept;
}

bool displace_attempt(const fs::path& matrix, const Cell& cell) {
    const fs::path run = cell_directory(matrix, cell);
    const fs::path copy = run.parent_path() / fmt::format(".{}.new", cell.id);
    std::error_code error;
    fs::remove_all(copy, error);  // of a process that ended here
    bool goes_on = false;
    try {
        goes_on = copy_run(run, copy);
    } catch (const fs::filesystem_error& failure) {
        log::warn("{}: begun anew, its checkpoints cannot be copied: {}", cell.id, failure.what());
    }
    keep_attempt(matrix, cell);
    if (!goes_on) {
        fs::remove_all(copy, error);
        return false;
    }
    fs::rename(copy, run, error);
    if (error) io_error(run, error);
    sync_directory(run.parent_path());
    return true;
}

KeptAttempts count_attempts(const fs::path& matrix, const Cell& cell) {
    KeptAttempts kept;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(attempts_directory(matrix, cell), none)) {
        if (!number_of(entry.path())) continue;
        ++kept.all;
        kept.failed += state_of(entry.path()) == "failed";
    }
    return kept;
}

}  // namespace knlp::matrix
