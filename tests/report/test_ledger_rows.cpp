#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/report/ledger.h"
#include "knlp/track/ledger.h"
#include "tests/report/small_matrix.h"
#include "tests/report/fake_run.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::change_small_manifest;
using test::expect_error;
using test::kBetterBy;
using test::TempDir;
using test::write_small_matrix;
using testing::HasSubstr;

struct LedgerRows : testing::Test {
    TempDir dir;
    fs::path results = dir.path() / "results";

    json contrast(const std::vector<double>& d) {
        return ledger_rows(write_small_matrix(results, d), results).back();
    }
    std::vector<json> benchmark(const std::string& text) {
        fs::create_directories(results);
        write_file_atomic(results / "b.json", text);
        return ledger_rows(results / "b.json", results);
    }
};

std::string class_of(const json& row) {
    return std::string(track::classify(row).evidence_class);
}

}  // namespace

TEST_F(LedgerRows, ARunIsOneRow) {
    const fs::path run = test::write_fake_run(dir.path());
    const std::vector<json> rows = ledger_rows(run, results);
    ASSERT_EQ(rows.size(), 1u);
    const json& row = rows[0];
    EXPECT_EQ(row["kind"], "run");
    EXPECT_EQ(row["run_id"], "runs/" + run.filename().string());
    EXPECT_EQ(row["config_sha256"], std::string(64, 'c'));
    EXPECT_EQ(row["git_dirty"], false);
    EXPECT_EQ(row["data_sha256"],
              json({"train=" + std::string(64, '1'), "val=" + std::string(64, '2'),
                    "tokenizer=" + std::string(64, 't')}));
    EXPECT_EQ(row["metrics"]["val_loss"], test::fake_val_loss(600));
    EXPECT_EQ(row["metrics"]["batch/effective"], 16);
    EXPECT_EQ(row["files"]["runs/" + run.filename().string() + "/metrics.jsonl"],
              sha256_hex(read_file(run / "metrics.jsonl")));
    EXPECT_EQ(class_of(row), "NON_DIAGNOSTIC");
}

TEST_F(LedgerRows, ARunSaysWhatItsDataWere) {
    const fs::path run = test::write_fake_run(dir.path(), {.substitute = "x", .synthetic = true});
    const json row = ledger_rows(run, results)[0];
    EXPECT_EQ(row["substitute"], true);
    EXPECT_EQ(row["synthetic"], true);
}

TEST_F(LedgerRows, ARunThatGoesOnIsRefused) {
    const fs::path run = test::write_fake_run(dir.path(), {.state = "running"});
    expect_error(kData, {"has not ended"}, [&] { ledger_rows(run, results); });
}

TEST_F(LedgerRows, WhatLiesElsewhereIsRefused) {
    const fs::path run = test::write_fake_run(dir.path());
    fs::create_directories(dir.path() / "other");
    expect_error(kUsage, {"does not lie below", "curate"},
                 [&] { ledger_rows(run, dir.path() / "other"); });
}

TEST_F(LedgerRows, AMatrixIsItsDoneCellsAndItsContrasts) {
    const fs::path matrix = write_small_matrix(results, kBetterBy);
    fs::remove_all(matrix / "cells/gpt2_adamw_learning_rate-1e-3_s5");
    const std::vector<json> rows = ledger_rows(matrix, results);
    ASSERT_EQ(rows.size(), 10u);
    EXPECT_EQ(rows[0]["kind"], "cell");
    EXPECT_EQ(rows[0]["run_id"], "matrix/lr/cells/gpt2_adamw_learning_rate-6e-4_s1");
    EXPECT_EQ(rows[0]["metrics"]["val_loss"], 3.0);
    const json& contrast = rows.back();
    EXPECT_EQ(contrast["kind"], "contrast");
    EXPECT_EQ(contrast["run_id"], "matrix/lr/gpt2_adamw_learning_rate-1e-3");
    EXPECT_EQ(contrast["metrics"]["n"], 4);
    EXPECT_EQ(contrast["metrics"]["dropped"], 1);
    EXPECT_NEAR(contrast["metrics"]["mean_difference"].get<double>(), -0.505, 1e-12);
    EXPECT_NEAR(contrast["metrics"]["baseline/mean"].get<double>(), 3, 1e-12);
}

TEST_F(LedgerRows, AVerdictOfFiveCleanSeedsIsSupported) {
    const json row = contrast(kBetterBy);
    EXPECT_EQ(row["facts"]["verdict"], "better");
    EXPECT_EQ(class_of(row), "SUPPORTED");
    EXPECT_TRUE(row["files"].contains("matrix/lr/plan.json"));
}

TEST_F(LedgerRows, ADifferenceInsideItsIntervalIsNeutral) {
    EXPECT_EQ(class_of(contrast({0.1, -0.1, 0.05, -0.04, 0.01})), "NEUTRAL");
}

TEST_F(LedgerRows, OneSeedShowsNothing) {
    EXPECT_EQ(class_of(contrast({-0.5})), "NON_DIAGNOSTIC");
}

TEST_F(LedgerRows, OneWeakCellLimitsTheVerdict) {
    const fs::path matrix = write_small_matrix(results, kBetterBy);
    const fs::path cell = matrix / "cells/gpt2_adamw_learning_rate-1e-3_s3";
    const auto with = [&](const json& changes) {
        const std::string before = read_file(cell / "manifest.json");
        change_small_manifest(cell, changes);
        const std::string found = class_of(ledger_rows(matrix, results).back());
        write_file_atomic(cell / "manifest.json", before);
        return found;
    };
    EXPECT_EQ(with(json::object()), "SUPPORTED");
    EXPECT_EQ(with({{"git_dirty", true}}), "SUPPORTED_BUT_LIMITED");
    EXPECT_EQ(with({{"git_dirty", nullptr}}), "SUPPORTED_BUT_LIMITED");
    EXPECT_EQ(with({{"git_commit", "another"}}), "SUPPORTED_BUT_LIMITED");
    EXPECT_EQ(with({{"binary_sha256", std::string(64, 'a')}}), "SUPPORTED_BUT_LIMITED");
    EXPECT_EQ(with({{"data", {{"synthetic", true}}}}), "SUPPORTED_BUT_LIMITED");
    EXPECT_EQ(with({{"data", {{"substitute", "another text"}}}}), "SUPPORTED_BUT_LIMITED");
}

TEST_F(LedgerRows, ACellOfAnotherConfigurationIsNoResult) {
    const fs::path matrix = write_small_matrix(results, kBetterBy);
    change_small_manifest(matrix / "cells/gpt2_adamw_learning_rate-1e-3_s3",
                          {{"experiment_sha256", std::string(64, 'f')}});
    const std::vector<json> rows = ledger_rows(matrix, results);
    EXPECT_EQ(rows.size(), 10u);
    EXPECT_EQ(rows.back()["metrics"]["dropped"], 1);
    EXPECT_EQ(class_of(rows.back()), "SUPPORTED_BUT_LIMITED");
}

TEST_F(LedgerRows, EachRowOfARecordIsARow) {
    const std::vector<json> rows = benchmark(
        R"({"command":"make bench","machine":{"cpu_model":"P"},"rows":{)"
        R"("one":{"revision":"abc","utc":"2026-01-02","ratio":{"x":{"low":1.5,"high":2,"median":1.7}}},)"
        R"("two":{"revision":"abc+","ratio":{"x":{"low":0.9,"high":1.1,"median":1}}},)"
        R"("three":{"a b":{"ms":[1,2]},"valid":false}}})");
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0]["run_id"], "b/one");
    EXPECT_EQ(rows[0]["git_commit"], "abc");
    EXPECT_EQ(rows[0]["git_dirty"], false);
    EXPECT_EQ(rows[0]["host"], "P");
    EXPECT_EQ(rows[0]["facts"]["measured"], "2026-01-02");
    EXPECT_EQ(class_of(rows[0]), "SUPPORTED_BUT_LIMITED");
    EXPECT_EQ(rows[1]["metrics"], json::parse(R"({"a_b/ms/0":1,"a_b/ms/1":2})"));
    EXPECT_EQ(class_of(rows[1]), "NON_DIAGNOSTIC");
    EXPECT_EQ(rows[2]["git_dirty"], true);
    EXPECT_EQ(class_of(rows[2]), "NEUTRAL");
}

TEST_F(LedgerRows, RecordsOfTheBenchVerbAreRowsByWhatTheyMeasured) {
    const std::vector<json> rows =
        benchmark(R"({"command":"knlp bench","records":[{"what":"a","median_s":1,)"
                  R"("machine":{"cpu_model":"P"}},{"what":"b","median_s":2}]})");
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[1]["run_id"], "b/b");
    EXPECT_EQ(rows[0]["host"], "P");
    EXPECT_EQ(rows[1]["metrics"]["median_s"], 2);
}

TEST_F(LedgerRows, WhatIsNoRecordIsRefused) {
    expect_error(kData, {"no record of a benchmark"}, [&] { benchmark("{}"); });
    expect_error(kData, {"no record of a benchmark"}, [&] { benchmark(R"({"x":1})"); });
    expect_error(kData, {"b.json"}, [&] { benchmark("["); });
}

}  // namespace knlp::report
