#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/model/model_files.h"

#include <nlohmann/json.hpp>

namespace knlp::model {

namespace fs = std::filesystem;

namespace {

/// The hash that MANIFEST.json has of a file: of schema 2, or the SHA-256 of the first.
struct Expected {
    std::string xxh3, sha256;
};

Expected expected_hash(const fs::path& manifest, const std::string& name) {
    const nlohmann::json whole = read_json(manifest);
    try {
        for (const nlohmann::json& file : whole.at("files"))
            if (file.at("name").get<std::string>() == name)
                return {.xxh3 = file.value("xxh3", ""), .sha256 = file.value("sha256", "")};
    } catch (const nlohmann::json::exception& error) {
        fail(kData, "{}: not a list of files: {}", manifest.string(), error.what());
    }
    fail(kData, "{}: {} is not listed", manifest.string(), name);
}

/// Nothing is remembered: what counts is what the file holds now.
std::string sha256_now(const fs::path& path) {
    const MappedFile mapped(path);
    Sha256 sha;
    sha.update(mapped.bytes());
    return sha.hex();
}

}  // namespace

void require_intact(const ModelSource& source) {
    if (source.kind == ModelSource::Kind::kHuggingFace) return;
    const fs::path manifest = source.weights.parent_path() / "MANIFEST.json";
    if (!fs::exists(manifest)) return;
    const Expected expected = expected_hash(manifest, source.weights.filename().string());
    const bool quick = !expected.xxh3.empty();
    const std::string& wanted = quick ? expected.xxh3 : expected.sha256;
    const std::string found =
        quick ? fmt::format("{:016x}", xxh3_file(source.weights)) : sha256_now(source.weights);
    if (found != wanted)
        fail(
            kData,
            "{}: damaged: its hash is {}, MANIFEST.json beside it says {}; take another checkpoint "
            "of the run",
            source.weights.string(), found, wanted.empty() ? "nothing" : wanted);
}

}  // namespace knlp::model
