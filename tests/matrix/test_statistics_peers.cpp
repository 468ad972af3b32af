// The statistics against those of scipy and statsmodels.
#include "knlp/matrix/analysis.h"
#include "knlp/matrix/distributions.h"
#include "knlp/matrix/power.h"
#include "knlp/matrix/statistics.h"

#include "knlp/core/json.h"
#include "knlp/core/stats.h"

#include "tests/support/run_program.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <utility>

namespace knlp::matrix {
namespace {

using nlohmann::json;
using Values = std::vector<double>;

std::filesystem::path golden(const char* name) {
    const char* source = std::getenv("KNLP_SRC");
    return std::filesystem::path(source && *source ? source : ".") / "tests/golden" / name;
}

/// Relative where the expected value is above 1. Both sides compute in double by other series:
/// 1e-10 leaves four digits for that.
void near(double found, const json& expected, const json& row, double tolerance = 1e-10) {
    const double wanted = expected.get<double>();
    EXPECT_NEAR(found, wanted, tolerance * std::max(1.0, std::abs(wanted))) << row.dump();
}

void check_distributions(const json& rows) {
    for (const json& r : rows.at("t")) {
        near(student_t_cdf(r["t"], r["df"]), r["cdf"], r);
        near(student_t_two_sided(r["t"], r["df"]), r["two_sided"], r);
    }
    for (const json& r : rows.at("t_quantile"))
        near(student_t_quantile(r["p"], r["df"]), r["t"], r);
    for (const json& r : rows.at("chi_squared_quantile"))
        near(chi_squared_quantile(r["p"], r["df"]), r["x"], r);
    for (const json& r : rows.at("noncentral_t"))
        near(noncentral_t_cdf(r["t"], r["df"], r["delta"]), r["cdf"], r);
}

void check_paired(const json& rows) {
    for (const json& r : rows) {
        const Values d = r["d"];
        near(mean(d) / standard_error(d), r["t"], r);
        near(paired_p(d), r["p"], r);
        near(sign_flip(d).p, r["sign_flip_p"], r);
        for (const json& i : r["intervals"]) {
            const Interval interval = mean_interval(d, i["confidence"]);
            near(interval.low, i["low"], r);
            near(interval.high, i["high"], r);
        }
        EXPECT_EQ(lies_within(mean_interval(d, 0.90), r["bound"]), r["tost_p"] < 0.05) << r.dump();
    }
}

void check_holm(const json& rows) {
    for (const json& r : rows) {
        const Values adjusted = holm(r["p"].get<Values>());
        for (size_t i = 0; i < adjusted.size(); ++i) near(adjusted[i], r["adjusted"][i], r);
    }
}

/// statsmodels takes the noncentral t, whose peer here is check_distributions. Its solution is a
/// real n.
void check_power(const json& rows) {
    for (const json& r : rows.at("power"))
        near(t_test_power(r["n"], r["effect"], r["alpha"]), r["power"], r, 1e-9);
    for (const json& r : rows.at("seeds"))
        EXPECT_EQ(seeds_needed(r["effect"], r["alpha"], r["power"]),
                  std::ceil(r["n"].get<double>()))
            << r.dump();
}

void check_experiment(const json& r) {
    AnalysisPlan plan;
    std::vector<CellResult> cells;
    plan.seeds.resize(r["metrics"][0].size());
    std::iota(plan.seeds.begin(), plan.seeds.end(), 1);
    for (const json& metrics : r["metrics"]) {
        plan.arms.push_back("arm" + std::to_string(plan.arms.size()));
        for (size_t s = 0; s < metrics.size(); ++s)
            cells.push_back({.arm = plan.arms.back(),
                             .seed = plan.seeds[s],
                             .done = true,
                             .reason = "",
                             .metric = metrics[s],
                             .data_sha256 = "d",
                             .windows_sha256 = "w",
                             .window_losses = {}});
    }
    plan.baseline = "arm0";
    const Analysis analysis = analyse(plan, cells);
    near(analysis.seed_noise, r["baseline_sd"], r);
    ASSERT_EQ(analysis.contrasts.size(), r["contrasts"].size());
    for (size_t i = 0; i < analysis.contrasts.size(); ++i) {
        const Contrast& c = analysis.contrasts[i];
        const json& expected = r["contrasts"][i];
        near(c.mean, expected["mean"], r);
        near(c.p, expected["p"], r);
        near(c.adjusted_p, expected["adjusted_p"], r);
        for (const auto& [found, row] : {std::pair{c.interval90, expected["intervals"][0]},
                                         std::pair{c.interval, expected["intervals"][1]}}) {
            near(found.low, row["low"], r);
            near(found.high, row["high"], r);
        }
    }
}

/// Two Monte-Carlo results, of 10,000 and 20,000 resamples. The standard deviation is known to
/// 0.7 % and 0.5 %; a 2.5 % quantile to sqrt(0.025·0.975 / N) / 0.0584 = 0.027 and 0.019 of it,
/// together 0.033. The bounds are more than four times that.
void check_bootstrap(const json& r) {
    const Values d = r["d"];
    const EvaluationNoise noise =
        evaluation_noise(d, r["document"].get<std::vector<int64_t>>(), 0.95);
    const double sd = r["sd"];
    EXPECT_NEAR(noise.sd, sd, 0.04 * sd);
    EXPECT_NEAR(noise.interval.low, r["low"].get<double>(), 0.15 * sd);
    EXPECT_NEAR(noise.interval.high, r["high"].get<double>(), 0.15 * sd);
}

void check_all(const json& rows) {
    check_distributions(rows);
    check_paired(rows.at("paired"));
    check_holm(rows.at("holm"));
    check_power(rows);
    for (const json& row : rows.at("experiments")) check_experiment(row);
    for (const json& row : rows.at("bootstraps")) check_bootstrap(row);
}

TEST(StatisticsPeers, AgreeWithTheirRecordedNumbers) {
    check_all(read_json(golden("statistics.json")));
}

TEST(StatisticsPeers, AgreeWithScipyAndStatsmodelsWhereTheyAre) {
    const test::Finished there =
        test::run_program({"/usr/bin/python3", "-B", "-c", "import scipy, statsmodels"});
    if (there.status != 0)
        GTEST_SKIP() << "python3-scipy and python3-statsmodels are not both installed";
    const test::Finished run =
        test::run_program({"/usr/bin/python3", "-B", golden("statistics.py").string()});
    ASSERT_EQ(run.status, 0) << run.err;
    check_all(parse_json(run.out, "statistics.py"));
}

}  // namespace
}  // namespace knlp::matrix
