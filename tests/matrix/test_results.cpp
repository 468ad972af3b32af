#include "knlp/matrix/results.h"

#include "knlp/matrix/attempts.h"
#include "tests/matrix/fake_matrix.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-more-matchers.h>
#include <gtest/gtest.h>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::change_json;
using test::expect_error;
using test::FakeMatrix;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// A matrix whose cells are all done, and its parts by hand.
class ResultsTest : public testing::Test {
protected:
    void SetUp() override { plan_ = test::write_fake_matrix(dir_.path(), {.seeds = 1}); }
    Results read() const { return read_results(dir_.path(), plan_); }
    const Cell& cell(size_t i) const { return plan_.cells[i]; }
    fs::path file(size_t i, const char* name) const {
        return cell_directory(dir_.path(), cell(i)) / name;
    }
    /// results.json of the rows as they are now.
    void record() const { std::ofstream(dir_.file("results.json")) << results_text(plan_, read()); }
    void check() const { check_recorded(dir_.path(), plan_, read()); }
    /// In the line of this event.
    void replace_in_metrics(size_t i, const std::string& event, const std::string& from,
                            const std::string& to) const {
        std::string text = read_file(file(i, "metrics.jsonl"));
        const size_t line = text.find("\"event\":\"" + event + "\"");
        ASSERT_NE(line, std::string::npos);
        const size_t at = text.find(from, line);
        ASSERT_NE(at, std::string::npos);
        text.replace(at, from.size(), to);
        std::ofstream(file(i, "metrics.jsonl")) << text;
    }
    void set_config(size_t i, const std::string& hash) const {
        change_json(file(i, "manifest.json"), "/experiment_sha256", hash);
    }
    test::TempDir dir_;
    Plan plan_;
};

TEST_F(ResultsTest, ARowHoldsTheFiguresOfItsCell) {
    const Results results = read();
    ASSERT_THAT(results.rows, SizeIs(4));
    const Row& row = results.rows[1];
    EXPECT_EQ(row.id, cell(1).id);
    EXPECT_EQ(row.seed, 1u);
    EXPECT_TRUE(row.done());
    EXPECT_EQ(row.attempt, 1);
    EXPECT_EQ(row.metric, FakeMatrix().loss(1, 1));
    EXPECT_EQ(row.perplexity(), std::exp(row.metric));
    EXPECT_EQ(row.steps, 600);
    EXPECT_EQ(row.tokens, 600 * 2048);
    EXPECT_EQ(row.wall_s, 101);
    EXPECT_EQ(row.tokens_per_s, 12001);
    EXPECT_EQ(row.peak_rss_bytes, 321000000);
    EXPECT_EQ(row.peak_gpu_bytes, std::nullopt);
    EXPECT_EQ(row.effective_batch, 16);
    EXPECT_EQ(row.binary_sha256, std::string(64, 'b'));
    EXPECT_THAT(row.drift, IsEmpty());
    EXPECT_THAT(row.files, SizeIs(4));
    EXPECT_THAT(results.cells, SizeIs(4));
}

TEST_F(ResultsTest, FirstWeightsOfEqualNameAndShapeAreComparedWithTheBaselines) {
    const auto set = [&](size_t i, const json& digests) {
        change_json(file(i, "manifest.json"), "/first_weights", digests);
    };
    EXPECT_EQ(compare_first_weights(plan_, read()).compared, 0);  // no digests recorded
    set(0, {{"wte", "8x4 11"}, {"h.0", "4x4 22"}, {"own", "2 33"}});
    set(1, {{"wte", "8x4 11"}, {"h.0", "4x4 22"}});
    set(2, {{"wte", "9x4 99"}, {"h.0", "4x4 22"}});  // another shape: nothing to compare
    const FirstWeights equal = compare_first_weights(plan_, read());
    EXPECT_EQ(equal.compared, 3);
    EXPECT_THAT(equal.differing, IsEmpty());
    set(3, {{"wte", "8x4 11"}, {"h.0", "4x4 44"}});
    EXPECT_THAT(compare_first_weights(plan_, read()).differing,
                ElementsAre(testing::AllOf(HasSubstr("1 of 2 parameters that '" + plan_.arms[3].id),
                                           HasSubstr("(h.0)"))));
}

TEST_F(ResultsTest, FinishedAttemptsBeforeTheNewestAreRepeats) {
    EXPECT_THAT(read().repeats, IsEmpty());
    const double loss = FakeMatrix().loss(1, 1);
    for (const double next : {loss + 0.5, loss + 0.25}) {
        keep_attempt(dir_.path(), cell(1));
        test::write_matrix_cell(dir_.path(), plan_, cell(1), next);
    }
    EXPECT_THAT(read().repeats,
                ElementsAre(testing::DoubleNear(0.25, 1e-12), testing::DoubleNear(-0.25, 1e-12)));
    const fs::path first = attempts_directory(dir_.path(), cell(1)) / "attempt.1";
    change_json(first / "manifest.json", "/experiment_sha256", "other");
    EXPECT_THAT(read().repeats, SizeIs(1));
    change_json(first.parent_path() / "attempt.2/status.json", "/state", "failed");
    EXPECT_THAT(read().repeats, IsEmpty());
}

TEST_F(ResultsTest, CellsThatDidNotFinishAreRowsAndNoResults) {
    fs::remove_all(cell_directory(dir_.path(), cell(0)));
    test::set_cell_state(dir_.path(), cell(1), "running", "");
    test::set_cell_state(dir_.path(), cell(2), "preempted", "signal at step 3");
    test::set_cell_state(dir_.path(), cell(3), "failed", "diverged at step 3");
    const Results results = read();
    EXPECT_EQ(results.rows[0].state, "pending");
    EXPECT_EQ(results.rows[0].attempt, 1);
    EXPECT_EQ(results.rows[1].state, "running");
    EXPECT_EQ(results.rows[2].state, "preempted");
    EXPECT_EQ(results.rows[2].reason, "signal at step 3");
    EXPECT_EQ(results.rows[3].state, "failed");
    EXPECT_TRUE(std::isnan(results.rows[3].metric));
    const Analysis analysis = analyse(analysis_plan(plan_, results), results.cells);
    EXPECT_EQ(analysis.arms[1].missing, 1);
    EXPECT_EQ(analysis.arms[3].failed, 1);
    EXPECT_EQ(analysis.arms[3].missing, 0);
    EXPECT_EQ(analysis.contrasts[2].dropped[0].why,
              plan_.arms[3].id + ": diverged at step 3; " + plan_.arms[0].id + ": no result");
}

TEST_F(ResultsTest, ALossThatIsNotFiniteIsAFailureWithItsReason) {
    fs::remove_all(cell_directory(dir_.path(), cell(1)));
    test::write_matrix_cell(dir_.path(), plan_, cell(1), NAN);
    const Row row = read().rows[1];
    EXPECT_EQ(row.state, "failed");
    EXPECT_EQ(row.reason, "diverged");
    EXPECT_EQ(row_json(row)["metric"], json());
}

TEST_F(ResultsTest, ARunOfAnotherConfigurationIsNoResult) {
    set_config(1, std::string(64, '0'));
    const Row row = read().rows[1];
    EXPECT_EQ(row.state, "failed");
    EXPECT_THAT(row.reason, HasSubstr("configuration is not the planned one"));
}

TEST_F(ResultsTest, ARunOfAnotherSeedIsRefused) {
    change_json(file(1, "manifest.json"), "/seeds/seed", 9);
    expect_error(kData, {"manifest.json", "row '" + cell(1).id, "seed 9"}, [&] { read(); });
}

TEST_F(ResultsTest, WhatIsNotAsPlannedIsMarkedAsDrift) {
    change_json(file(0, "manifest.json"), "/binary_sha256", std::string(64, '0'));
    change_json(file(1, "manifest.json"), "/data/files/1/sha256", std::string(64, '0'));
    change_json(file(2, "manifest.json"), "/batches_sha256", std::string(64, '0'));
    change_json(file(3, "manifest.json"), "/batch/effective", 32);
    const Results results = read();
    EXPECT_THAT(results.rows[0].drift, ElementsAre("binary"));
    EXPECT_THAT(results.rows[1].drift, ElementsAre("val data"));
    EXPECT_THAT(results.rows[2].drift, ElementsAre("evaluation windows"));
    EXPECT_THAT(results.rows[3].drift, ElementsAre("effective batch"));
}

/// Why the pair of arm 1 and the baseline with seed 1 does not count.
std::string why_dropped(const Plan& plan, const Results& results) {
    const Analysis analysis = analyse(analysis_plan(plan, results), results.cells);
    const Contrast& c = analysis.contrasts[0];
    EXPECT_EQ(c.count(Dropped::Kind::kIncomparable), 1);
    return c.dropped.empty() ? "" : c.dropped[0].why;
}

TEST_F(ResultsTest, PairsOfOtherConditionsAreDropped) {
    change_json(file(1, "manifest.json"), "/batch/effective", 32);
    EXPECT_EQ(why_dropped(plan_, read()),
              "other effective batch: 32 sequences against 16 sequences");
    change_json(file(1, "manifest.json"), "/batch/effective", nullptr);
    EXPECT_EQ(why_dropped(plan_, read()), "effective batch recorded on one side only");
    change_json(file(1, "manifest.json"), "/batch/effective", 16);
    change_json(file(1, "manifest.json"), "/data/files/0/sha256", std::string(64, '0'));
    EXPECT_EQ(why_dropped(plan_, read()), "other data");
    change_json(file(1, "manifest.json"), "/data/files/0/sha256", std::string(64, '1'));
    change_json(file(1, "manifest.json"), "/batches_sha256", std::string(64, '0'));
    EXPECT_EQ(why_dropped(plan_, read()), "other evaluation windows");
    change_json(file(1, "manifest.json"), "/batches_sha256", plan_.windows_sha256);
    change_json(file(1, "manifest.json"), "/parents",
                json::array({{{"kind", "init_from"}, {"path", "base"}, {"sha256", "abc"}}}));
    EXPECT_EQ(why_dropped(plan_, read()), "other first weights: abc against from the seed");
}

TEST_F(ResultsTest, PairsOfOtherBudgetsAreDropped) {
    replace_in_metrics(1, "final", "\"step\":600", "\"step\":590");
    EXPECT_EQ(why_dropped(plan_, read()), "other budget: 590 steps against 600 steps");
    plan_.budget = {"tokens", 600 * 2048};
    EXPECT_EQ(analyse(analysis_plan(plan_, read()), read().cells).contrasts[0].seeds.size(), 1u);
    replace_in_metrics(1, "final", "\"tokens\":1228800", "\"tokens\":1228000");
    EXPECT_EQ(why_dropped(plan_, read()), "other budget: 1228000 tokens against 1228800 tokens");
    plan_.budget = {"time", 60};
    change_json(file(0, "manifest.json"), "/budgets/max_time_s", 60);
    change_json(file(1, "manifest.json"), "/budgets/max_time_s", 61);
    EXPECT_EQ(why_dropped(plan_, read()), "other budget: 61 s against 60 s");
}

TEST_F(ResultsTest, ArmsThatSpendTheSameFlopsCompareAtOtherNumbersOfSteps) {
    plan_.budget = {"flops", 600 * 2048 * 1000.0};
    for (Arm& arm : plan_.arms) arm.flops_per_token = 1000;
    plan_.arms[1].flops_per_token = 2000;
    replace_in_metrics(1, "final", "\"step\":600", "\"step\":300");
    replace_in_metrics(1, "final", "\"tokens\":1228800", "\"tokens\":614400");
    const Results results = read();
    EXPECT_THAT(analyse(analysis_plan(plan_, results), results.cells).contrasts[0].seeds,
                ElementsAre(1));
    replace_in_metrics(1, "final", "\"tokens\":614400", "\"tokens\":604400");
    EXPECT_THAT(why_dropped(plan_, read()), HasSubstr("other budget: 1.2088e+09 FLOPs against"));
}

TEST_F(ResultsTest, AMetricThatOneFileTellsOtherwiseIsNamedWithItsRow) {
    const std::string loss = canonical_json(read().rows[1].metric);
    replace_in_metrics(1, "final", "\"val_loss\":" + loss, "\"val_loss\":2.5");
    expect_error(kCheckFailed, {"manifest.json", "row '" + cell(1).id, "2.5"}, [&] { read(); });
    change_json(file(1, "manifest.json"), "/result/final_val_loss", 2.5);
    expect_error(kCheckFailed, {"metrics.jsonl", "row '" + cell(1).id}, [&] { read(); });
    replace_in_metrics(1, "final", "\"step\":600", "\"step\":601");
    expect_error(kCheckFailed, {"eval_windows.f32", "row '" + cell(1).id}, [&] { read(); });
    fs::remove(file(1, "eval_windows.f32"));
    EXPECT_EQ(read().rows[1].metric, 2.5);
    std::ofstream(file(1, "summary.json")) << R"({"final_val_loss": 3})";
    expect_error(kCheckFailed, {"summary.json", "row '" + cell(1).id}, [&] { read(); });
}

TEST_F(ResultsTest, DocumentsOfTheWindowsAreThoseThatAllCellsRecorded) {
    EXPECT_THAT(analysis_plan(plan_, read()).window_documents, ElementsAre(0, 0, 1, 1, 2, 2, 3, 3));
    fs::resize_file(file(1, "eval_documents.i64"), 60);
    expect_error(kData, {"eval_documents.i64", "60 bytes", "8 windows"}, [&] { read(); });
    fs::remove(file(1, "eval_documents.i64"));
    EXPECT_THAT(analysis_plan(plan_, read()).window_documents, IsEmpty());
}

TEST_F(ResultsTest, ADamagedFileOfAFinishedCellIsNamed) {
    std::ofstream(file(1, "manifest.json")) << "{";
    expect_error(kData, {"manifest.json"}, [&] { read(); });
    std::ofstream(file(1, "status.json")) << "[]";
    expect_error(kData, {"status.json"}, [&] { read(); });
}

TEST_F(ResultsTest, RecordedRowsStandWhileNothingChanges) {
    check();  // nothing is recorded yet
    record();
    check();
}

TEST_F(ResultsTest, RecordedRowsHaveTheSameBytesEveryTime) {
    EXPECT_EQ(results_text(plan_, read()), results_text(plan_, read()));
    EXPECT_EQ(parse_json(results_text(plan_, read()), "text")["rows"].size(), 4u);
}

TEST_F(ResultsTest, AFileThatChangedAfterItWasRecordedIsNamedWithItsRow) {
    record();
    replace_in_metrics(2, "train", "\"lr\":0.001", "\"lr\":0.002");
    expect_error(kCheckFailed, {"metrics.jsonl", "row '" + cell(2).id, "changed"},
                 [&] { check(); });
}

TEST_F(ResultsTest, ARecordedFigureThatWasChangedIsNamedWithItsRow) {
    record();
    json recorded = read_json(dir_.file("results.json"));
    recorded["rows"][3]["metric"] = 2.5;
    std::ofstream(dir_.file("results.json")) << recorded.dump();
    expect_error(kCheckFailed, {"results.json", "row '" + cell(3).id, "\"metric\" is 2.5"},
                 [&] { check(); });
}

TEST_F(ResultsTest, ACellThatIsGoneIsNoticed) {
    record();
    fs::remove_all(cell_directory(dir_.path(), cell(3)));
    expect_error(kCheckFailed, {"status.json", "row '" + cell(3).id, "now pending"},
                 [&] { check(); });
    test::write_matrix_cell(dir_.path(), plan_, cell(3), read().rows[2].metric);
    fs::remove(file(3, "eval_windows.f32"));
    expect_error(kCheckFailed, {"cells/" + cell(3).id, "row '" + cell(3).id}, [&] { check(); });
}

TEST_F(ResultsTest, ANewAttemptReplacesARow) {
    record();
    test::move_attempt_away(dir_.path(), cell(3));
    check();
    EXPECT_EQ(read().rows[3].state, "pending");
    test::write_matrix_cell(dir_.path(), plan_, cell(3), 2.75);
    check();
    EXPECT_EQ(read().rows[3].metric, 2.75);
    EXPECT_EQ(read().rows[3].attempt, 2);
}

TEST_F(ResultsTest, RowsOfAnotherPlanAreRefused) {
    record();
    plan_.sha256 = std::string(64, '0');
    expect_error(kData, {"results.json", "another plan"}, [&] { check(); });
    std::ofstream(dir_.file("results.json")) << "{}";
    expect_error(kData, {"results.json"}, [&] { check(); });
}

TEST_F(ResultsTest, TheSourcesAreFilesOfTheDirectory) {
    test::move_attempt_away(dir_.path(), cell(3));
    const std::vector<std::string> files = source_files(dir_.path(), plan_);
    EXPECT_THAT(files, testing::Contains("plan.json"));
    EXPECT_THAT(files, testing::Contains("cells/" + cell(0).id + "/metrics.jsonl"));
    EXPECT_THAT(files, testing::Contains("attempts/" + cell(3).id + "/attempt.1/status.json"));
    for (const std::string& name : files) EXPECT_TRUE(fs::exists(dir_.path() / name)) << name;
}

}  // namespace
}  // namespace knlp::matrix
