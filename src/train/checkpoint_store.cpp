#include "checkpoint_store.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/train/checkpoint.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <vector>

namespace knlp::train {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPartial = ".partial";
constexpr const char* kReplaced = ".replaced";

[[noreturn]] void io_error(const fs::path& path, const std::error_code& error) {
    fail_code(kRun, "E_IO", "{}: {}", path.string(), error.message());
}

void rename_or_fail(const fs::path& from, const fs::path& to) {
    std::error_code error;
    fs::rename(from, to, error);
    if (error) io_error(to, error);
}

void write_manifest(const fs::path& directory, const KnownHashes& known) {
    std::vector<fs::path> names;
    for (const auto& entry : fs::directory_iterator(directory))
        names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    nlohmann::json files = nlohmann::json::array();
    for (const fs::path& name : names) {
        const auto hash = known.find(name.string());
        files.push_back({{"name", name.string()},
                         {"bytes", static_cast<int64_t>(fs::file_size(directory / name))},
                         {"xxh3", hash_text(hash != known.end() ? hash->second
                                                                : xxh3_file(directory / name))}});
    }
    write_file_atomic(directory / "MANIFEST.json", pretty_json({{"schema", 2}, {"files", files}}));
}

}  // namespace

fs::path write_checkpoint(const fs::path& run_directory, int64_t step, const FillCheckpoint& fill) {
    const fs::path parent = run_directory / "checkpoints",
                   final_path = parent / checkpoint_name(step);
    const fs::path partial = parent / ("." + checkpoint_name(step) + kPartial);
    const fs::path replaced = parent / ("." + checkpoint_name(step) + kReplaced);
    std::error_code error;
    const auto undo = [&] {
        fs::remove_all(partial, error);
        if (fs::exists(replaced, error) && !fs::exists(final_path, error))
            fs::rename(replaced, final_path, error);
    };
    try {
        fs::create_directory(parent, error);  // not its parents: a removed run stays removed
        if (error) io_error(parent, error);
        fs::remove_all(partial, error);
        fs::create_directory(partial, error);
        if (error) io_error(partial, error);
        write_manifest(partial, fill(partial));
        sync_directory(partial);
        const bool exists = fs::exists(final_path, error);
        if (exists) rename_or_fail(final_path, replaced);
        rename_or_fail(partial, final_path);
        sync_directory(parent);
        fs::remove_all(replaced, error);
    } catch (const fs::filesystem_error& failure) {
        undo();
        io_error(partial, failure.code());
    } catch (const Error& failure) {
        undo();
        // What was just written and cannot be read back is the disk's fault, not bad input.
        if (failure.kind() == kData) fail_code(kRun, "E_IO", "{}", failure.what());
        throw;
    } catch (...) {
        undo();
        throw;
    }
    return final_path;
}

void prune_checkpoints(const fs::path& run_directory, int64_t keep, int64_t best_step) {
    const std::vector<CheckpointInfo> all = list_checkpoints(run_directory);
    if (std::ssize(all) <= keep) return;
    const std::string wrong = verify_checkpoint(all.back().path);
    if (!wrong.empty()) {
        log::warn("older checkpoints are kept, the newest does not verify: {}", wrong);
        return;
    }
    for (size_t i = 0; i + static_cast<size_t>(keep) < all.size(); ++i) {
        if (all[i].step == best_step) continue;
        std::error_code error;
        // Renamed first: a kill in between leaves no directory that looks like a checkpoint.
        const fs::path doomed =
            all[i].path.parent_path() / ("." + all[i].path.filename().string() + kReplaced);
        fs::rename(all[i].path, doomed, error);
        fs::remove_all(doomed, error);
        if (error)
            log::warn("{}: old checkpoint not removed: {}", all[i].path.string(), error.message());
    }
}

void clean_checkpoints(const fs::path& run_directory, int64_t from_step) {
    std::error_code error;
    std::vector<fs::path> entries;
    for (const auto& entry : fs::directory_iterator(run_directory / "checkpoints", error))
        entries.push_back(entry.path());
    for (const fs::path& path : entries) {
        const std::string name = path.filename().string();
        if (name.starts_with(".step-") && name.ends_with(kReplaced)) {
            // A kill between the two renames of a replacement: the old one is still the only one.
            const fs::path original =
                path.parent_path() /
                name.substr(1, name.size() - 1 - std::string(kReplaced).size());
            if (!fs::exists(original, error) && verify_checkpoint(path).empty())
                fs::rename(path, original, error);
            else
                fs::remove_all(path, error);
        } else if (name.starts_with(".step-") && name.ends_with(kPartial)) {
            fs::remove_all(path, error);
        } else if (const auto step = checkpoint_step(name); step && *step > from_step) {
            fs::rename(path, path.parent_path() / ("damaged-" + name), error);
            log::warn("{}: set aside as damaged-{}", path.string(), name);
        }
    }
}

}  // namespace knlp::train
