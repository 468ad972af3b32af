#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/stats.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>

namespace knlp::track {

using nlohmann::json;

struct MetricsLog::State {
    AppendFile file;
};

MetricsLog::MetricsLog(const RunDir& run)
    : state_(new State{AppendFile(run.file("metrics.jsonl"))}) {}

MetricsLog::~MetricsLog() = default;

void MetricsLog::append(const std::string& event, json fields) {
    KNLP_CHECK(fields.is_object());
    fields["event"] = event;
    fields["t"] = utc_now();
    state_->file.append(canonical_json(fields) + "\n");
}

int64_t MetricsLog::bytes() const {
    return state_->file.size();
}

void MetricsLog::sync() const {
    state_->file.sync();
}

void MetricsLog::truncate(const RunDir& run, int64_t bytes) {
    const std::filesystem::path path = run.file("metrics.jsonl");
    const std::string text = std::filesystem::exists(path) ? read_file(path) : "";
    if (bytes < 0 || bytes > static_cast<int64_t>(text.size()))
        fail(kData, "{}: has {} bytes, the checkpoint remembers {}; the file was cut or replaced",
             path.string(), text.size(), bytes);
    if (bytes == static_cast<int64_t>(text.size())) return;
    run.write("metrics.jsonl", std::string_view(text).substr(0, static_cast<size_t>(bytes)));
}

const std::vector<std::string>& time_fields() {
    static const std::vector<std::string> fields = {"t",         "tokens_per_s", "mfu",
                                                    "ms",        "elapsed_s",    "eval_s",
                                                    "rss_bytes", "wall_s",       "peak_rss_bytes"};
    return fields;
}

std::vector<json> read_metrics(const std::filesystem::path& run_directory) {
    const std::filesystem::path path = run_directory / "metrics.jsonl";
    const std::string text = read_file(path);
    std::vector<json> events;
    int64_t line_number = 0;
    for (size_t begin = 0; begin < text.size();) {
        size_t end = text.find('\n', begin);
        const bool whole = end != std::string::npos;
        if (!whole) end = text.size();
        ++line_number;
        json event = json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                 text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
        begin = end + 1;
        if (event.is_object()) {
            events.push_back(std::move(event));
        } else if (begin < text.size()) {
            fail(kData, "{}:{}: not a JSON object; the file is damaged", path.string(),
                 line_number);
        }
    }
    return events;
}

std::optional<double> logged_tokens_per_s(const std::vector<json>& events) {
    std::vector<double> speeds;
    for (const json& event : events) {
        if (event.value("event", json()) != "train") continue;
        const auto speed = event.find("tokens_per_s");
        if (speed != event.end() && speed->is_number() && speed->get<double>() > 0)
            speeds.push_back(speed->get<double>());
    }
    return speeds.empty() ? std::nullopt : std::optional(median(speeds));
}

}  // namespace knlp::track
