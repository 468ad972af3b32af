#include "run_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "flame.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/report/report.h"
#include "knlp/track/run_dir.h"

namespace knlp::report {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// Beyond this a samples.txt is not something to read on a page.
constexpr int64_t kMaxSamples = int64_t{64} << 20;

/// Runs `read`; a file that cannot be used leaves one line in `problems` instead of ending the
/// report.
void leniently(RunData& run, const std::function<void()>& read) {
    try {
        read();
    } catch (const Error& error) {
        run.problems.emplace_back(error.what());
    }
}

/// The breakdown that `knlp bench step --breakdown --run` left there.
json breakdown_of(const fs::path& file) {
    const json record = read_json(file);
    if (!record.is_object()) fail(kData, "{}: a JSON object is wanted", file.string());
    const json details = record.value("details", json());
    if (const std::string problem = flame_problem(details); !problem.empty())
        fail(kData, "{}: {}", file.string(), problem);
    return details;
}

json object_file(RunData& run, const char* name) {
    json value = json::object();
    const fs::path path = run.directory / name;
    if (!fs::exists(path)) {
        run.problems.push_back(fmt::format("{} is missing", name));
        return value;
    }
    leniently(run, [&] {
        json parsed = read_json(path);
        if (!parsed.is_object()) fail(kData, "{}: a JSON object is wanted", path.string());
        value = std::move(parsed);
    });
    return value;
}

double field(const json& event, const char* name) {
    const auto found = event.find(name);
    return found == event.end() ? kMissing : number_of(*found);
}

int64_t step_of(const json& event) {
    const double step = field(event, "step");
    return std::isfinite(step) && std::abs(step) < 9e15 ? static_cast<int64_t>(step) : 0;
}

void read_events(RunData& run) {
    for (const json& event : track::read_metrics(run.directory)) {
        const auto kind = event.find("event");
        if (kind == event.end() || !kind->is_string()) continue;
        if (*kind == "train") {
            run.train.push_back({step_of(event), field(event, "tokens"), field(event, "loss"),
                                 field(event, "lr"), field(event, "grad_norm"),
                                 field(event, "tokens_per_s"), field(event, "rss_bytes"),
                                 field(event, "elapsed_s")});
        } else if (*kind == "eval") {
            run.evals.push_back({step_of(event), field(event, "tokens"), field(event, "train_loss"),
                                 field(event, "val_loss"), field(event, "val_se"),
                                 field(event, "elapsed_s")});
        } else if (*kind == "final") {
            run.final_event = event;
        }
    }
}

std::string text_of(const json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
    if (value.is_number()) return canonical_json(value);
    return "";
}

void read_settings(RunData& run) {
    const json resolved = object_file(run, "config.resolved.json");
    for (const auto& [name, entry] : resolved.items()) {
        if (!entry.is_object()) continue;
        const auto get = [&](const char* key) {
            const auto found = entry.find(key);
            return found == entry.end() ? std::string() : text_of(*found);
        };
        run.settings.push_back({name, get("value"), get("origin")});
    }
    std::sort(run.settings.begin(), run.settings.end(),
              [](const Setting& a, const Setting& b) { return a.name < b.name; });
}

std::string path_for_commands(const fs::path& directory) {
    const fs::path parent = directory.parent_path();
    if (parent.filename() != "runs") return directory.string();
    return (parent.parent_path().filename() / "runs" / directory.filename()).string();
}

}  // namespace

double number_of(const json& value) {
    if (value.is_number()) return value.get<double>();
    if (value == "inf") return std::numeric_limits<double>::infinity();
    if (value == "-inf") return -std::numeric_limits<double>::infinity();
    return kMissing;
}

const json* RunData::find(const char* pointer) const {
    const json::json_pointer path(pointer);
    for (const json* source : {&manifest, &summary, &final_event, &status})
        if (source->contains(path) && !source->at(path).is_null()) return &source->at(path);
    return nullptr;
}

std::string RunData::text(std::initializer_list<const char*> pointers) const {
    for (const char* pointer : pointers)
        if (const json* value = find(pointer))
            if (std::string found = text_of(*value); !found.empty()) return found;
    return "";
}

double RunData::number(std::initializer_list<const char*> pointers) const {
    for (const char* pointer : pointers)
        if (const json* value = find(pointer); value != nullptr && value->is_number())
            return value->get<double>();
    return kMissing;
}

RunData read_run(const fs::path& directory) {
    const auto has = [&](const char* name) { return fs::exists(directory / name); };
    if (!has("metrics.jsonl") && !has("manifest.json") && !has("status.json"))
        fail(kData,
             "{}: not a run directory: expected metrics.jsonl, manifest.json or status.json in it; "
             "`knlp report list` shows the runs there are",
             directory.string());
    RunData run;
    run.directory = fs::canonical(directory);
    run.run_id = run.directory.filename().string();
    run.display_path = path_for_commands(run.directory);
    run.manifest = object_file(run, "manifest.json");
    run.status = object_file(run, "status.json");
    // A killed run could not say so; read_status knows. What it cannot use stays as the file has
    // it.
    try {
        run.status = track::read_status(track::RunDir::open(run.directory));
    } catch (const Error& error) {
        log::debug("{}", error.what());
    }
    run.summary = json::object();
    // A run that was interrupted has none yet, which is no fault.
    if (has("summary.json")) run.summary = object_file(run, "summary.json");
    if (has("metrics.jsonl"))
        leniently(run, [&] { read_events(run); });
    else
        run.problems.emplace_back("metrics.jsonl is missing");
    if (has(kBreakdownFile))
        leniently(run, [&] { run.breakdown = breakdown_of(run.directory / kBreakdownFile); });
    run.saved = track::last_saved(run.directory);
    read_settings(run);
    if (has("samples.txt"))
        leniently(run,
                  [&] { run.samples = read_file(run.directory / "samples.txt", kMaxSamples); });
    return run;
}

}  // namespace knlp::report
