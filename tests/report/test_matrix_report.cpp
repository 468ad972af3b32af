#include "knlp/report/matrix_report.h"

#include "knlp/matrix/results.h"

#include "tests/matrix/fake_matrix.h"
#include "tests/report/xml_check.h"
#include "tests/support/expect_error.h"
#include "tests/support/run_binary.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::change_json;
using test::expect_error;
using testing::HasSubstr;
using Files = std::map<std::string, std::string>;

/// A page is long: only what was looked for is printed.
testing::AssertionResult has(const std::string& page, const std::string& part) {
    const bool found = page.find(part) != std::string::npos;
    return (found ? testing::AssertionSuccess() : testing::AssertionFailure())
           << "the page has " << (found ? "" : "not ") << part;
}

/// A finished matrix of five seeds, made once and copied for those that change it.
class MatrixReport : public testing::Test {
protected:
    static void SetUpTestSuite() {
        made_ = std::make_unique<test::TempDir>();
        test::write_fake_matrix(made_->file("optimizers"));
    }
    static void TearDownTestSuite() { made_.reset(); }

    void SetUp() override {
        fs::create_directories(dir_.file("results/matrix"));
        fs::copy(made_->file("optimizers"), matrix_, fs::copy_options::recursive);
        plan_ = matrix::read_plan(matrix_);
    }
    Files files() const { return derived_files(matrix_); }
    json summary() const { return parse_json(files().at("summary.json"), "summary.json"); }
    /// The contrast of arm `i` of the plan, in a summary.
    json contrast(const json& whole, size_t i) const {
        for (const json& arm : whole["arms"])
            if (arm["id"] == plan_.arms[i].id) return arm["contrast"];
        return {};
    }
    std::string page() const {
        const std::string page = files().at("report.html");
        EXPECT_EQ(test::xml_problem(page), "");
        return page;
    }
    /// Cell of arm `i` with this seed.
    const matrix::Cell& cell(size_t arm, uint64_t seed) const {
        return plan_.cells[plan_.arms.size() * (seed - 1) + arm];
    }
    fs::path file(const matrix::Cell& cell, const char* name) const {
        return matrix::cell_directory(matrix_, cell) / name;
    }
    void replace_plan(matrix::Plan plan) {
        std::ofstream(matrix_ / "plan.json") << matrix::plan_text(plan);
        plan_ = matrix::read_plan(matrix_);
    }
    /// Keeps the first seeds only.
    void keep_seeds(size_t n) {
        matrix::Plan plan = plan_;
        plan.seeds.resize(n);
        plan.cells.resize(n * plan.arms.size());
        replace_plan(plan);
    }

    static std::unique_ptr<test::TempDir> made_;
    test::TempDir dir_;
    fs::path matrix_ = dir_.file("results/matrix/optimizers");
    matrix::Plan plan_;
};
std::unique_ptr<test::TempDir> MatrixReport::made_;

TEST_F(MatrixReport, IsMadeOfTheseFiles) {
    const Files made = files();
    for (const char* name :
         {"results.json", "summary.json", "summary_report.txt", "report.md", "report.tex",
          "results.csv", "report.html", "graphs/loss_tokens.svg", "graphs/loss_tokens.csv",
          "graphs/loss_time.svg", "graphs/loss_time.csv", "graphs/forest.svg", "graphs/forest.csv",
          "graphs/memory.svg", "graphs/memory.csv", "graphs/time.svg", "graphs/time.csv",
          "graphs/learning_rate.svg", "graphs/learning_rate.csv"})
        EXPECT_TRUE(made.contains(name)) << name;
    EXPECT_EQ(made.size(), 19u);
}

TEST_F(MatrixReport, EveryPictureStandsAlone) {
    for (const auto& [name, bytes] : files()) {
        if (!name.ends_with(".html") && !name.ends_with(".svg")) continue;
        EXPECT_EQ(test::xml_problem(bytes), "") << name;
        std::string text = bytes;
        const std::string space = "xmlns=\"http://www.w3.org/2000/svg\"";
        if (const size_t at = text.find(space); at != std::string::npos)
            text.erase(at, space.size());
        for (const char* outside :
             {"http:", "https:", "<script", "<link", "<img", "@import", "url(", " src="})
            EXPECT_FALSE(has(text, outside)) << name;
        EXPECT_EQ(text.find("var(--") != std::string::npos, name.ends_with(".html")) << name;
    }
}

TEST_F(MatrixReport, AgreesWithScipyAndStatsmodelsWhereTheyAre) {
    if (test::run_program({"/usr/bin/python3", "-B", "-c", "import scipy, statsmodels"}).status !=
        0)
        GTEST_SKIP() << "python3-scipy and python3-statsmodels are not both installed";
    write_derived(matrix_, files());
    const char* source = std::getenv("KNLP_SRC");
    const fs::path script =
        fs::path(source && *source ? source : ".") / "tests/report/check_matrix_figures.py";
    const test::Finished run =
        test::run_program({"/usr/bin/python3", "-B", script.string(), matrix_.string()});
    EXPECT_EQ(run.out, "equal\n") << run.err;
}

TEST_F(MatrixReport, VerdictsAreThoseOfTheAnalysis) {
    const json all = summary();
    EXPECT_EQ(contrast(all, 1)["verdict"], "better");
    EXPECT_EQ(contrast(all, 2)["verdict"], "equivalent");
    EXPECT_EQ(contrast(all, 3)["verdict"], "worse");
    // Five seeds of one sign: 2 / 2^5.
    EXPECT_EQ(contrast(all, 1)["sign_flip"]["p"], 0.0625);
    EXPECT_EQ(contrast(all, 1)["sign_flip"]["smallest_p"], 0.0625);
    const std::string html = page();
    EXPECT_TRUE(has(html, "0.0625 (≥ 0.0625)"));
    EXPECT_TRUE(has(html, "data-label=\"verdict\" class=\"good\"><span>better</span>"));
    EXPECT_TRUE(has(html, "data-label=\"verdict\" class=\"bad\"><span>worse</span>"));
    EXPECT_TRUE(has(html, "Noise floor"));
}

TEST_F(MatrixReport, RanksByTheMeanAndNotByTheBestSeed) {
    // The best seed of all in the worst arm.
    fs::remove_all(matrix::cell_directory(matrix_, cell(3, 1)));
    test::write_matrix_cell(matrix_, plan_, cell(3, 1), 2.9);
    const json arms = summary()["arms"];
    std::vector<std::string> ids;
    for (const json& arm : arms) ids.push_back(arm["id"]);
    EXPECT_EQ(ids, (std::vector<std::string>{plan_.arms[1].id, plan_.arms[0].id, plan_.arms[2].id,
                                             plan_.arms[3].id}));
}

TEST_F(MatrixReport, OneSeedIsNoComparison) {
    keep_seeds(1);
    const json all = summary();
    const Files made = files();
    for (const char* name : {"summary_report.txt", "report.md", "report.html"})
        EXPECT_TRUE(has(made.at(name), "one seed: not a comparison")) << name;
    EXPECT_EQ(contrast(all, 1)["verdict"], "no verdict");
    EXPECT_EQ(contrast(all, 1)["interval"], json());
    EXPECT_FALSE(has(made.at("report.html"), "class=\"good\""));
}

TEST_F(MatrixReport, WhatFailedIsCountedAndListedWithItsReason) {
    test::set_cell_state(matrix_, cell(1, 2), "failed",
                         "diverged; saved as /home/me/x/cells/abc_s1/bad.safetensors <b>");
    fs::remove_all(matrix::cell_directory(matrix_, cell(0, 3)));
    change_json(file(cell(3, 4), "manifest.json"), "/data/files/0/sha256", std::string(64, '0'));
    const json all = summary(), one = contrast(all, 1);
    EXPECT_EQ(one["seeds"], json({1, 4, 5}));
    EXPECT_EQ(one["dropped"][0]["kind"], "failed");
    EXPECT_EQ(one["dropped"][1]["kind"], "missing");
    EXPECT_EQ(contrast(all, 3)["dropped"][1]["why"], "other data");
    const std::string html = page();
    EXPECT_TRUE(has(html, "1 failed, 1 missing, 2 unpaired"));
    EXPECT_TRUE(has(html, "1 missing, 1 incomparable, 1 unpaired"));
    EXPECT_TRUE(has(html, "saved as cells/abc_s1/bad.safetensors &lt;b&gt;"));
    EXPECT_FALSE(has(html, "/home/me"));
    EXPECT_TRUE(has(html, "20 cells: 18 done, 1 failed, 1 not begun"));
    EXPECT_TRUE(has(html, "<strong>Drift:</strong> the train data of 1 of 20 cells"));
    EXPECT_THAT(files().at("summary_report.txt"), HasSubstr("4/5 done, 1 failed"));
}

TEST_F(MatrixReport, NothingYetIsAReportToo) {
    fs::remove_all(matrix_ / "cells");
    const std::string html = page();
    EXPECT_TRUE(has(html, "0 of 20 done"));
    EXPECT_TRUE(has(html, "no verdict: no seed pairs"));
    EXPECT_TRUE(has(html, "no values recorded"));
}

TEST_F(MatrixReport, SaysThatAPlanWasExtended) {
    matrix::Plan plan = plan_;
    plan.seeds.pop_back();
    std::vector<matrix::Cell> last(plan.cells.end() - 4, plan.cells.end());
    plan.cells.resize(16);
    replace_plan(plan);
    matrix::Extension extension{.seeds = {5}, .created = "2026-01-03T00:00:00Z", .done_before = 16};
    std::ofstream(matrix_ / "extension-1.json") << matrix::extension_text(plan_, extension, last);
    const Files made = files();
    for (const char* name : {"summary_report.txt", "report.md", "report.html"})
        EXPECT_TRUE(has(made.at(name), "seeds 5 were added after 16 cells were done")) << name;
    EXPECT_EQ(summary()["extensions"][0]["done_before"], 16);
}

TEST_F(MatrixReport, NamesWhatDiffersBetweenArmsAndNothingElse) {
    const std::string markdown = files().at("report.md");
    EXPECT_THAT(markdown, HasSubstr("| arm | LEARNING\\_RATE | OPTIMIZER |\n"));
    EXPECT_THAT(markdown, HasSubstr("| 6e-4 | adamwspam |\n"));
    EXPECT_THAT(markdown, HasSubstr("| R9 | sgd · 1e-3 | sgd \\<needs> another rate & schedule |"));
}

TEST_F(MatrixReport, SaysWhetherEqualParametersBeganEqual) {
    const auto set = [&](const matrix::Cell& of, const char* digest) {
        change_json(file(of, "manifest.json"), "/first_weights", {{"wte.weight", digest}});
    };
    for (const matrix::Cell& of : plan_.cells) set(of, "8x4 0123456789abcdef");
    EXPECT_TRUE(has(page(), "equal for each seed: 15 tensors"));
    set(plan_.cells[1], "8x4 fedcba9876543210");
    const std::string other = page();
    EXPECT_TRUE(has(other, "initial values: 1 of 1 parameters"));
    EXPECT_FALSE(has(other, "equal for each seed:"));
}

TEST_F(MatrixReport, TellsHowToRepeatEachCell) {
    const std::string html = page();
    for (const matrix::Cell& one : plan_.cells)
        EXPECT_TRUE(has(html, "make test-rerun TARGET=results/matrix/optimizers CELLS=" + one.id));
}

TEST_F(MatrixReport, NeverHoldsAPathOrTheNameOfTheMachine) {
    for (const auto& [name, bytes] : files())
        EXPECT_FALSE(has(bytes, dir_.path().string()) || has(bytes, "node1")) << name;
}

TEST_F(MatrixReport, IsTheSameInAnotherDirectoryLocaleAndTimeZone) {
    const fs::path elsewhere = dir_.file("copy of it");
    fs::copy(matrix_, elsewhere, fs::copy_options::recursive);
    const auto make = [&](const std::string& directory,
                          const std::map<std::string, std::string>& env) {
        const test::Finished run = test::run_knlp({"report", directory}, dir_.path(), env);
        EXPECT_EQ(run.status, 0) << run.err;
    };
    make("results/matrix/optimizers", {{"TZ", "UTC"}, {"LC_ALL", "C"}});
    make(elsewhere.string(), {{"TZ", "Asia/Kathmandu"}, {"LC_ALL", "de_DE.UTF-8"}});
    for (const auto& [name, bytes] : files()) {
        EXPECT_TRUE(read_file(matrix_ / name) == bytes) << name;
        EXPECT_TRUE(read_file(elsewhere / name) == bytes) << name;
    }
}

TEST_F(MatrixReport, AChangedMetricEndsWithStatusOneAndNamesFileAndRow) {
    ASSERT_EQ(test::run_knlp({"report", matrix_.string()}, dir_.path()).status, 0);
    const matrix::Cell& one = cell(2, 3);
    std::string text = read_file(file(one, "metrics.jsonl"));
    const size_t at = text.find("\"val_loss\":3.", text.find("\"event\":\"final\""));
    ASSERT_NE(at, std::string::npos);
    text[at + 11] = '2';
    std::ofstream(file(one, "metrics.jsonl")) << text;
    const test::Finished run = test::run_knlp({"report", matrix_.string()}, dir_.path());
    EXPECT_EQ(run.status, 1);
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1);
    EXPECT_THAT(run.err, HasSubstr("cells/" + one.id));
    EXPECT_THAT(run.err, HasSubstr("row '" + one.id + "'"));
}

TEST_F(MatrixReport, AChangedFigureOfTheReportIsNoticedAgainstTheCells) {
    write_derived(matrix_, files());
    change_json(matrix_ / "results.json", "/rows/7/metric", 1.5);
    expect_error(kCheckFailed, {"results.json", plan_.cells[7].id, "1.5"}, [&] { files(); });
}

TEST_F(MatrixReport, AnEditedPlanIsRefused) {
    change_json(matrix_ / "plan.json", "/alpha", 0.2);
    expect_error(kData, {"plan.json", "edited"}, [&] { files(); });
}

TEST_F(MatrixReport, PrintsJsonAndCsv) {
    const test::Finished as_json =
        test::run_knlp({"report", matrix_.string(), "--json"}, dir_.path());
    EXPECT_EQ(as_json.status, 0) << as_json.err;
    EXPECT_EQ(parse_json(as_json.out, "stdout")["plan_sha256"], plan_.sha256);
    const test::Finished as_csv =
        test::run_knlp({"report", matrix_.string(), "--csv"}, dir_.path());
    EXPECT_EQ(std::count(as_csv.out.begin(), as_csv.out.end(), '\n'), 21);
}

TEST_F(MatrixReport, TheNewestMatrixIsTakenWithoutAName) {
    fs::copy(matrix_, dir_.file("results/matrix/a later one"), fs::copy_options::recursive);
    matrix::Plan plan = plan_;
    plan.created = "2026-02-02T03:04:05Z";
    std::ofstream(dir_.file("results/matrix/a later one/plan.json")) << matrix::plan_text(plan);
    EXPECT_EQ(newest_matrix(dir_.file("results")).filename(), "a later one");
    EXPECT_EQ(newest_matrix(dir_.file("nowhere")), fs::path());
    const test::Finished run = test::run_knlp({"report"}, dir_.path());
    EXPECT_EQ(run.status, 0) << run.err;
    EXPECT_TRUE(fs::exists(dir_.file("results/matrix/a later one/report.html")));
    EXPECT_FALSE(fs::exists(matrix_ / "report.html"));
}

TEST_F(MatrixReport, TwoMatricesAreComparedArmByArm) {
    const fs::path other = dir_.file("other");
    fs::copy(matrix_, other, fs::copy_options::recursive);
    matrix::Plan plan = plan_;
    plan.name = "other";
    plan.min_effect = 0.5;
    std::ofstream(other / "plan.json") << matrix::plan_text(plan);
    const Comparison same = compare(matrix_, other);
    const json found = parse_json(same.json, "json");
    EXPECT_EQ(found["arms"][plan_.arms[1].id]["differences"], json({0.0, 0.0, 0.0, 0.0, 0.0}));
    EXPECT_EQ(found["arms"][plan_.arms[1].id]["verdict"], "equivalent");
    EXPECT_EQ(found["differs"], json({"Smallest difference that matters: 0.01 against 0.5"}));
    EXPECT_THAT(same.text, HasSubstr("differs     Smallest difference"));
    EXPECT_EQ(std::count(same.csv.begin(), same.csv.end(), '\n'), 5);
    change_json(other / "cells" / cell(1, 2).id / "manifest.json", "/batches_sha256", "x");
    EXPECT_THAT(compare(matrix_, other).text, HasSubstr("other evaluation windows"));
}

TEST_F(MatrixReport, TwoRunsAreNoComparisonOfSeeds) {
    const fs::path a = matrix::cell_directory(matrix_, cell(0, 1)),
                   b = matrix::cell_directory(matrix_, cell(1, 1));
    const test::Finished run =
        test::run_knlp({"report", "--compare", a.string(), b.string()}, dir_.path());
    EXPECT_EQ(run.status, 0) << run.err;
    EXPECT_THAT(run.out, HasSubstr("one seed: not a comparison"));
    const json found = parse_json(compare(a, b).json, "json");
    const double d = test::FakeMatrix().loss(1, 1) - test::FakeMatrix().loss(0, 1);
    EXPECT_NEAR(found["arms"]["run"]["mean"].get<double>(), d, 1e-12);
    EXPECT_THAT(compare(a, matrix::cell_directory(matrix_, cell(1, 2))).text,
                HasSubstr("no seed pairs"));
}

TEST_F(MatrixReport, OnlyTwoOfAKindAreCompared) {
    expect_error(kUsage, {"matrix", "run"},
                 [&] { compare(matrix_, matrix::cell_directory(matrix_, cell(0, 1))); });
    const test::Finished run = test::run_knlp(
        {"report", matrix_.string(), "--compare", matrix_.string(), matrix_.string()}, dir_.path());
    EXPECT_EQ(run.status, 2);
}

}  // namespace
}  // namespace knlp::report
