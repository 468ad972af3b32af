#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knlp/matrix/cell_result.h"
#include "knlp/matrix/statistics.h"

namespace knlp::matrix {

/// How results are judged, fixed before there are any.
struct AnalysisPlan {
    std::vector<std::string> arms;  // in the order of the report, the baseline among them
    std::string baseline;
    std::vector<uint64_t> seeds;
    double alpha = 0.05;    // level of intervals and of adjusted p
    double min_effect = 0;  // differences below it do not matter; 0 = no such bound
    bool lower_is_better = true;
    bool nats = true;  // a loss in nats: its difference is a ratio of perplexities
    std::vector<int64_t> window_documents;  // of each evaluation window; empty = not known
};

/// So many seeds or fewer: better and worse also need all signs to agree.
constexpr int64_t kFewSeeds = 5;

enum class Verdict { kBetter, kWorse, kEquivalent, kNoDifferenceShown, kNone };
std::string_view name_of(Verdict verdict);

/// What the verdict of one contrast is made from.
struct Evidence {
    int64_t n = 0;
    double mean = kUnknown, adjusted_p = kUnknown;
    bool signs_agree = false;
    Interval interval90;
    bool no_spread = false;
};
/// none for n < 2, and where one difference repeats in all seeds, which no test can judge; better
/// or worse when adjusted_p < alpha and, for n <= kFewSeeds, all signs agree; else equivalent when
/// the 90 % interval lies inside ±min_effect, its ends excluded; else no difference shown.
Verdict decide(const Evidence& evidence, const AnalysisPlan& plan);

/// A planned seed that gave no pair, with the reason.
struct Dropped {
    enum class Kind {
        kFailed,        // a cell failed or diverged, on either side
        kMissing,       // a cell has no result yet, on either side
        kIncomparable,  // both are done, on other data, evaluation windows or conditions
    };
    uint64_t seed = 0;
    Kind kind = Kind::kMissing;
    bool unpaired = false;  // one side has a result, and it goes unused
    std::string why;
};

/// An arm against the baseline, over the seeds that pair.
struct Contrast {
    std::string arm;
    std::vector<uint64_t> seeds;      // ascending
    std::vector<double> differences;  // arm - baseline, one each
    double mean = kUnknown, sd = kUnknown;
    Interval interval, interval90;  // of level 1 - alpha, and 90 %
    double p = kUnknown, adjusted_p = kUnknown;
    SignCount signs;
    SignFlip sign_flip;
    EvaluationNoise evaluation_noise;
    /// 100 (exp(d) - 1): change of the perplexity in percent; NaN where the metric is no loss in
    /// nats.
    double ratio_percent = kUnknown;
    Interval ratio_interval_percent;
    std::vector<Dropped> dropped;  // by seed
    bool no_spread = false;        // the differences are one number, within rounding
    Verdict verdict = Verdict::kNone;

    int64_t count(Dropped::Kind kind) const;
    int64_t unpaired() const;
    /// The verdict in words, with what limits it: "no difference shown (±0.012)".
    std::string verdict_text() const;
};

struct ArmSummary {
    std::string arm;
    int64_t n = 0, failed = 0, missing = 0;
    double mean = kUnknown, sd = kUnknown;
    Interval interval;  // of the arm's mean, level 1 - alpha
};

struct Analysis {
    std::vector<ArmSummary> arms;     // in the order of the plan
    std::vector<Contrast> contrasts;  // all arms but the baseline, in that order
    double seed_noise = kUnknown;     // between seeds of the baseline
};

/// The whole analysis, a function of plan and results: the order of `cells` does not matter.
/// Error{kUsage} for a plan that cannot be judged (no arm, no seed, one named twice, a baseline
/// that is no arm, alpha or min_effect out of range); Error{kData} for a cell that is not of the
/// plan or is there twice, or whose window losses do not fit window_documents.
Analysis analyse(const AnalysisPlan& plan, std::span<const CellResult> cells);

/// The same arms in two experiments: a contrast of each, `after` minus `before`, over the seeds
/// that pair. Holm's family are these arms. plan.baseline is an arm like the others. Errors as
/// those of analyse().
std::vector<Contrast> compare(const AnalysisPlan& plan, std::span<const CellResult> before,
                              std::span<const CellResult> after);

}  // namespace knlp::matrix
