#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "knlp/matrix/statistics.h"

namespace knlp::matrix {

/// What two runs must share to be compared: "effective batch", "64 sequences".
struct Condition {
    std::string name, value;
};

/// What a cell (one arm, one seed) came to.
struct CellResult {
    std::string arm;
    uint64_t seed = 0;
    bool done = false;
    std::string reason;                // why it is not done
    double metric = kUnknown;          // the primary metric: mean validation loss in nats per token
    std::string data_sha256;           // "role=hash" of each token file and of the tokenizer
    std::string windows_sha256;        // of the evaluation windows
    std::vector<float> window_losses;  // mean loss of each, empty where not recorded
    std::vector<Condition> conditions;  // besides data and windows
    /// Name of each parameter -> shape and digest of its first values, empty where not recorded.
    std::map<std::string, std::string> first_weights;
    std::vector<int64_t> window_documents;  // that each window is from, empty where not recorded

    /// Why it is no result, "" when it is one. A metric that is not finite is a failure too.
    std::string failure() const;
};

/// Reads it from a run directory: the state from status.json, the metric from the "final" event of
/// metrics.jsonl, hashes, seed, effective batch and first weights from manifest.json, losses from
/// eval_windows.f32, their documents from eval_documents.i64. A run that is not done is a
/// CellResult all the same; Error{kData} naming the file where one of them is absent or damaged.
CellResult read_cell(const std::filesystem::path& run_directory, const std::string& arm);

/// The metric of a run: validation loss of its final event; NaN where there is none.
double final_loss(const std::filesystem::path& run_directory);

/// Whether a run ended with a result, by its status.json; false where there is none or it is
/// damaged.
bool is_done(const std::filesystem::path& run_directory);

}  // namespace knlp::matrix
