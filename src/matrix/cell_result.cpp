#include "knlp/matrix/cell_result.h"

#include "members.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>

#include <bit>
#include <cmath>
#include <cstring>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// A JSON number, or infinity; NaN for anything else, as "nan".
double number_of(const json& value) {
    if (value.is_number()) return value.get<double>();
    if (value == "inf" || value == "-inf") return std::numeric_limits<double>::infinity();
    return kUnknown;
}

/// "" where a hash is not recorded: such runs compare with none.
std::string data_hashes(const json& manifest) {
    std::string out;
    for (const json& file : manifest.value(json::json_pointer("/data/files"), json::array())) {
        const std::string role = text_at(file, "role"), hash = text_at(file, "sha256");
        if (role != "train" && role != "val") continue;
        if (hash.empty()) return "";
        out += role + "=" + hash + " ";
    }
    const std::string tokenizer = text_at(manifest.value("tokenizer", json::object()), "sha256");
    return out.empty() || tokenizer.empty() ? "" : out + "tokenizer=" + tokenizer;
}

/// Equal initial values of equal parameters: one seed gives each tensor its values by name, unless
/// the weights came from elsewhere.
std::string source_of_weights(const json& manifest) {
    for (const json& parent : manifest.value("parents", json::array()))
        if (text_at(parent, "kind") == "init_from") return text_at(parent, "sha256");
    return "from the seed";
}

uint64_t seed_of(const json& manifest, const fs::path& run) {
    const json seed = manifest.value(json::json_pointer("/seeds/seed"), json());
    if (!seed.is_number_unsigned())
        fail(kData, "{}: /seeds/seed is no whole number", (run / "manifest.json").string());
    return seed.get<uint64_t>();
}

/// One value for each evaluation window; none where the run did not record them.
template <class T>
std::vector<T> read_windows(const fs::path& file, int64_t expected) {
    if (!fs::exists(file)) return {};
    const std::string bytes = read_file(file, int64_t{1} << 30);
    if (bytes.size() != static_cast<size_t>(expected) * sizeof(T))
        fail(kData, "{}: {} bytes, expected {} windows of {} bytes as manifest.json says",
             file.string(), bytes.size(), expected, sizeof(T));
    std::vector<T> values(static_cast<size_t>(expected));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}
static_assert(std::endian::native == std::endian::little);

void read_done(const fs::path& run, CellResult& cell, const json& manifest) {
    cell.metric = final_loss(run);
    cell.data_sha256 = data_hashes(manifest);
    cell.windows_sha256 = text_at(manifest, "batches_sha256");
    const json batch = manifest.value(json::json_pointer("/batch/effective"), json());
    if (batch.is_number_integer())
        cell.conditions.push_back({"effective batch", fmt::format("{} sequences", batch.dump())});
    cell.conditions.push_back({"first weights", source_of_weights(manifest)});
    if (const json digests = manifest.value("first_weights", json()); digests.is_object())
        for (const auto& [name, digest] : digests.items())
            if (digest.is_string()) cell.first_weights[name] = digest.get<std::string>();
    const json windows = manifest.value("eval_windows", json());
    if (!windows.is_number_integer() || windows < 0 || windows >= (int64_t{1} << 28)) return;
    cell.window_losses = read_windows<float>(run / "eval_windows.f32", windows.get<int64_t>());
    cell.window_documents =
        read_windows<int64_t>(run / "eval_documents.i64", windows.get<int64_t>());
}

}  // namespace

std::string CellResult::failure() const {
    if (!done) return reason.empty() ? "failed" : reason;
    return std::isfinite(metric) ? "" : "diverged";
}

CellResult read_cell(const fs::path& run_directory, const std::string& arm) {
    const track::RunDir run = track::RunDir::open(run_directory);
    const json status = track::read_status(run), manifest = track::read_manifest(run_directory);
    try {
        CellResult cell;
        cell.arm = arm;
        cell.seed = seed_of(manifest, run_directory);
        const std::string state = text_at(status, "state");
        cell.done = state == "done";
        if (cell.done)
            read_done(run_directory, cell, manifest);
        else
            cell.reason = text_at(status, "reason").empty() ? state : text_at(status, "reason");
        return cell;
    } catch (const json::exception& error) {
        fail(kData, "{}: a run's manifest has another form: {}", run_directory.string(),
             error.what());
    }
}

double final_loss(const fs::path& run_directory) {
    double loss = kUnknown;
    for (const json& event : track::read_metrics(run_directory))
        if (event.value("event", json()) == "final")
            loss = number_of(event.value("val_loss", json()));
    return loss;
}

bool is_done(const fs::path& run_directory) {
    try {
        return text_at(track::read_status(track::RunDir::open(run_directory)), "state") == "done";
    } catch (const std::exception&) {
        return false;
    }
}

}  // namespace knlp::matrix
