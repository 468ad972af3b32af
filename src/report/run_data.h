#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "knlp/track/run_dir.h"

namespace knlp::report {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

/// A "train" event of metrics.jsonl: the step just taken, counted from 0, and the tokens before it;
/// fields it lacks are NaN.
struct TrainPoint {
    int64_t step = 0;
    double tokens = kMissing, loss = kMissing, lr = kMissing, grad_norm = kMissing;
    double tokens_per_s = kMissing, rss_bytes = kMissing;
    double elapsed_s = kMissing;  // training time of all attempts so far
};

/// An "eval" event after `step` steps and so many tokens: losses in nats per token, the error over
/// evaluation windows.
struct EvalPoint {
    int64_t step = 0;
    double tokens = kMissing, train_loss = kMissing, val_loss = kMissing, val_se = kMissing;
    double elapsed_s = kMissing;  // training time of all attempts so far
};

/// A row of config.resolved.json.
struct Setting {
    std::string name, value, origin;
};

/// What a run directory holds, read leniently: files that are missing or damaged leave their part
/// empty and a line in `problems`. Nothing here depends on the clock or on how the path was
/// written.
struct RunData {
    std::filesystem::path directory;  // absolute, links resolved
    std::string run_id;
    std::string display_path;  // for commands: results/runs/<id>, else the absolute path
    nlohmann::json manifest, status, summary;  // objects; empty when the file is not there
    std::vector<TrainPoint> train;
    std::vector<EvalPoint> evals;
    std::vector<Setting> settings;  // sorted by name
    std::string samples;            // as written by the run
    track::Saved saved;             // the newest checkpoint
    nlohmann::json final_event;     // the last "final" event, or null
    nlohmann::json breakdown;       // details of breakdown.json, or null
    std::vector<std::string> problems;

    /// First of these JSON pointers ("/data/substitute") that leads to a text, number or boolean in
    /// manifest, then summary, then the final event, then status; "" or NaN when none does.
    std::string text(std::initializer_list<const char*> pointers) const;
    double number(std::initializer_list<const char*> pointers) const;
    const nlohmann::json* find(const char* pointer) const;
};

/// Error{kData} when `directory` is not a run directory: none of metrics.jsonl, manifest.json and
/// status.json lies in it.
RunData read_run(const std::filesystem::path& directory);

/// A JSON number, or the texts "nan", "inf", "-inf"; NaN for anything else.
double number_of(const nlohmann::json& value);

}  // namespace knlp::report
