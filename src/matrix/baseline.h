#pragma once

#include "knlp/config/symbols.h"
#include "knlp/matrix/cell_result.h"
#include "knlp/matrix/plan.h"
#include "knlp/train/outlook.h"

#include <filesystem>
#include <string>
#include <vector>

namespace knlp::matrix {

/// A finished run that stands in for a cell of the baseline.
struct BaselineRun {
    std::string place;  // its directory, relative to the output directory
    config::Symbols symbols;
    CellResult result;
    train::Choices choices;
    std::string binary_sha256, git_commit;
    std::string device;  // kind
    int64_t effective_batch = 0, n_ctx = 0;
    int64_t max_iters = 0, max_tokens = 0;  // budgets, 0 = off
    double max_time_s = 0;
};

/// Runs of one experiment with different seeds, made before the plan that compares with them.
class Baseline {
public:
    /// `names`: directories of runs or matrices (there the cells of its baseline that are done), or
    /// rows of ledger.jsonl by their number; all below `output_dir`. Error{kData} for what is no
    /// finished run, {kUsage} for runs of several experiments, or two with one seed.
    Baseline(const std::vector<std::string>& names, const std::filesystem::path& output_dir);

    const config::Symbols& symbols() const { return runs_.front().symbols; }
    const std::vector<BaselineRun>& runs() const { return runs_; }
    const BaselineRun* of_seed(uint64_t seed) const;

    /// What makes `base` the experiment of these runs.
    std::vector<Setting> settings_over(const config::Symbols& base) const;

    /// Error{kConfig, "E_UNFAIR"} listing all in which the runs differ from an arm of the plan:
    /// data, evaluation windows (where they were looked at), batch, device, a budget of `kind`;
    /// and the seeds that no run has.
    void require_comparable(const train::Outlook& here, const std::string& kind,
                            const std::vector<uint64_t>& seeds) const;

private:
    [[noreturn]] void refuse(const std::vector<std::string>& differences) const;
    std::vector<std::string> names_;
    std::vector<BaselineRun> runs_;  // by seed
};

}  // namespace knlp::matrix
