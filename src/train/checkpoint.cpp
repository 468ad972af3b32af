#include "knlp/train/checkpoint.h"

#include "checkpoint_store.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

namespace knlp::train {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMaxManifestBytes = int64_t{1} << 20;

struct ListedFile {
    std::string name, xxh3, sha256;  // sha256 in place of xxh3: schema 1
    int64_t bytes = 0;
};

/// Entries of MANIFEST.json. Error{kData} when it is absent or not one.
std::vector<ListedFile> read_manifest(const fs::path& checkpoint) {
    const fs::path path = checkpoint / "MANIFEST.json";
    const nlohmann::json json = read_json(path, kMaxManifestBytes);
    std::vector<ListedFile> files;
    try {
        for (const nlohmann::json& entry : json.at("files")) {
            ListedFile file{.name = entry.at("name").get<std::string>(),
                            .xxh3 = entry.value("xxh3", ""),
                            .sha256 = entry.value("sha256", ""),
                            .bytes = entry.at("bytes").get<int64_t>()};
            if (file.name.empty() || fs::path(file.name).has_parent_path())
                fail(kData, "{}: '{}' is not the name of a file beside it", path.string(),
                     file.name);
            if (file.xxh3.empty() && file.sha256.empty())
                fail(kData, "{}: {} has no hash", path.string(), file.name);
            files.push_back(std::move(file));
        }
    } catch (const nlohmann::json::exception& error) {
        fail(kData, "{}: not a list of files: {}", path.string(), error.what());
    }
    for (const std::string_view needed : {"model.safetensors", "optim.safetensors", "state.json"})
        if (std::none_of(files.begin(), files.end(),
                         [&](const ListedFile& f) { return f.name == needed; }))
            fail(kData, "{}: {} is not listed", path.string(), needed);
    return files;
}

/// "" or which file has another size.
std::string compare_sizes(const fs::path& checkpoint, const std::vector<ListedFile>& files) {
    for (const ListedFile& file : files) {
        std::error_code error;
        const auto size = static_cast<int64_t>(fs::file_size(checkpoint / file.name, error));
        if (error) return fmt::format("{} is missing", (checkpoint / file.name).string());
        if (size != file.bytes)
            return fmt::format("{} has {} bytes, MANIFEST.json says {}",
                               (checkpoint / file.name).string(), size, file.bytes);
    }
    return "";
}

/// Nothing is remembered: what counts is what the file holds now.
bool same_hash(const fs::path& path, const ListedFile& file) {
    if (!file.xxh3.empty()) return hash_text(xxh3_file(path)) == file.xxh3;
    const MappedFile mapped(path);
    Sha256 sha;
    sha.update(mapped.bytes());
    return sha.hex() == file.sha256;
}

/// "" when MANIFEST.json is there and sizes are right, else what is wrong.
std::string incomplete(const fs::path& checkpoint) {
    try {
        return compare_sizes(checkpoint, read_manifest(checkpoint));
    } catch (const Error& error) {
        return error.what();
    }
}

}  // namespace

std::optional<int64_t> checkpoint_step(const std::string& name) {
    constexpr std::string_view kPrefix = "step-";
    int64_t step = 0;
    const char *first = name.data() + kPrefix.size(), *last = name.data() + name.size();
    if (!name.starts_with(kPrefix) || first == last) return std::nullopt;
    const auto [end, error] = std::from_chars(first, last, step);
    if (error != std::errc() || end != last || step < 0 || checkpoint_name(step) != name)
        return std::nullopt;
    return step;
}

std::string checkpoint_name(int64_t step) {
    return fmt::format("step-{:08}", step);
}

std::string hash_text(uint64_t xxh3) {
    return fmt::format("{:016x}", xxh3);
}

std::vector<CheckpointInfo> list_checkpoints(const fs::path& run_directory) {
    std::vector<CheckpointInfo> found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(run_directory / "checkpoints", error)) {
        const std::optional<int64_t> step = checkpoint_step(entry.path().filename().string());
        if (step && incomplete(entry.path()).empty())
            found.push_back({.path = entry.path(), .step = *step});
    }
    std::sort(found.begin(), found.end(),
              [](const CheckpointInfo& a, const CheckpointInfo& b) { return a.step < b.step; });
    if (found.empty()) return found;
    try {
        const nlohmann::json state = read_json(found.back().path / "state.json");
        const auto best = state.find("best_step");
        for (CheckpointInfo& info : found)
            info.best = best != state.end() && best->is_number_integer() &&
                        best->get<int64_t>() == info.step;
    } catch (const Error&) {
        // A damaged state.json is for verify_checkpoint to report; none is marked best then.
    }
    return found;
}

std::string verify_checkpoint(const fs::path& checkpoint) {
    try {
        const std::vector<ListedFile> files = read_manifest(checkpoint);
        if (std::string wrong = compare_sizes(checkpoint, files); !wrong.empty()) return wrong;
        for (const ListedFile& file : files)
            if (!same_hash(checkpoint / file.name, file))
                return fmt::format("{}: its hash differs from MANIFEST.json",
                                   (checkpoint / file.name).string());
        return "";
    } catch (const Error& error) {
        return error.what();
    }
}

std::optional<CheckpointInfo> newest_checkpoint(const fs::path& run_directory,
                                                std::vector<std::string>& damaged) {
    std::error_code error;
    std::vector<CheckpointInfo> all;
    for (const auto& entry : fs::directory_iterator(run_directory / "checkpoints", error))
        if (const auto step = checkpoint_step(entry.path().filename().string()))
            all.push_back({.path = entry.path(), .step = *step});
    std::sort(all.begin(), all.end(),
              [](const CheckpointInfo& a, const CheckpointInfo& b) { return a.step > b.step; });
    for (CheckpointInfo& info : all) {
        const std::string wrong = verify_checkpoint(info.path);
        if (wrong.empty()) {
            for (const CheckpointInfo& listed : list_checkpoints(run_directory))
                if (listed.step == info.step) info.best = listed.best;
            return info;
        }
        damaged.push_back(fmt::format("checkpoint {} is damaged, going back to the one before: {}",
                                      info.path.filename().string(), wrong));
    }
    return std::nullopt;
}

}  // namespace knlp::train
