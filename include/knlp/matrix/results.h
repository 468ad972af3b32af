#pragma once

#include "knlp/matrix/analysis.h"
#include "knlp/matrix/cell_result.h"
#include "knlp/matrix/plan.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace knlp::matrix {

/// One cell of a matrix with the figures of its newest attempt. A figure that is not there is NaN,
/// nullopt or "".
struct Row {
    int64_t index = 0;
    std::string id, arm;
    uint64_t seed = 0;
    /// pending (never began), running (or interrupted), preempted, failed, done. Only done is a
    /// result; a run that ended but diverged, or is not of the planned configuration, is failed.
    std::string state = "pending", reason;
    int64_t attempt = 1;  // this one, where the first is 1: those before were moved away
    std::string started;  // of this attempt, UTC
    double metric = kUnknown, best_loss = kUnknown, wall_s = kUnknown, tokens_per_s = kUnknown;
    std::optional<int64_t> steps, tokens, parameters, peak_rss_bytes, peak_gpu_bytes,
        effective_batch;
    std::string data_sha256, windows_sha256, config_sha256, binary_sha256;
    std::vector<std::string> drift;            // what is not as planned: "binary", "data", …
    std::map<std::string, std::string> files;  // the run's files behind the figures: name, SHA-256

    bool done() const { return state == "done"; }
    double perplexity() const;  // exp(metric), of a loss at most 20
};

struct Results {
    std::vector<Row> rows;          // all cells, by index
    std::vector<CellResult> cells;  // those that are done or failed: what analyse() judges
    /// Of cells that were run again: their metric less that of each earlier attempt that had
    /// finished with the same experiment. Zero is the rule: runs repeat bit by bit.
    std::vector<double> repeats;
};

/// Reads all cells from their run directories, and from nothing else. A cell that never began, or
/// is not finished, is a row without figures. Error{kData} naming the file where one of a finished
/// cell is damaged; Error{kCheckFailed} naming file and row where two of them tell different
/// metrics. Nothing depends on the clock or on which processes there are.
Results read_results(const std::filesystem::path& matrix, const Plan& plan);

nlohmann::json row_json(const Row& row);
/// Content of results.json: the hash of the plan and its rows, one a line.
std::string results_text(const Plan& plan, const Results& results);
inline constexpr const char* kResultsFile = "results.json";

/// Compares the rows with those of results.json, where there is one. A row of a finished cell
/// stands until `knlp matrix rerun` moves that attempt away: Error{kCheckFailed} naming file and
/// row when it differs in anything, Error{kData} when the file is damaged or of another plan.
void check_recorded(const std::filesystem::path& matrix, const Plan& plan, const Results& results);

/// Whether equal parameters began with equal values: parameters of the baseline that another arm
/// has with the same name and shape, cell by cell of one seed.
struct FirstWeights {
    int64_t compared = 0;                // values of parameters, over all pairs of cells
    std::vector<std::string> differing;  // a line for each arm that has some
};
FirstWeights compare_first_weights(const Plan& plan, const Results& results);

/// How the plan says that its results are to be judged. Documents of the windows are taken from the
/// cells where all recorded the same.
AnalysisPlan analysis_plan(const Plan& plan, const Results& results);

/// The files, relative to the matrix directory, that read_results() and the reports read, sorted:
/// what an archive needs so that every figure can be computed again.
std::vector<std::string> source_files(const std::filesystem::path& matrix, const Plan& plan);

}  // namespace knlp::matrix
