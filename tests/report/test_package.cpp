#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <time.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "knlp/core/archive.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/report/ledger.h"
#include "knlp/report/matrix_report.h"
#include "knlp/report/report.h"
#include "knlp/track/ledger.h"
#include "tests/report/small_matrix.h"
#include "tests/report/fake_run.h"
#include "tests/support/expect_error.h"
#include "tests/support/scoped_environment.h"
#include "tests/support/temp_dir.h"

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::expect_error;
using test::kBetterBy;
using test::TempDir;
using test::write_small_matrix;
using testing::HasSubstr;

constexpr const char* kCell = "cells/gpt2_adamw_learning_rate-1e-3_s3";

/// A matrix with its rows in the ledger, and what a package of it unpacks to.
struct Package : testing::Test {
    TempDir dir, elsewhere;
    fs::path results = dir.path() / "results", ledger = results / "ledger.jsonl";
    fs::path matrix = write_small_matrix(results, kBetterBy);
    fs::path archive = elsewhere.file("lr.tar.gz"), root = elsewhere.file("unpacked");

    void SetUp() override { track::append_to_ledger(ledger, ledger_rows(matrix, results)); }

    void unpack() {
        write_file_atomic(archive, package(matrix, results));
        for (const ArchiveFile& file : read_tar_gz(archive)) {
            fs::create_directories((root / file.name).parent_path());
            write_file_atomic(root / file.name, file.content);
        }
    }
};

void replace(const fs::path& file, const std::string& before, const std::string& now) {
    std::string text = read_file(file);
    ASSERT_NE(text.find(before), std::string::npos) << file << " has no " << before;
    text.replace(text.find(before), before.size(), now);
    write_file_atomic(file, text);
}

TEST(CuratedResults, AreWhatTheirFilesMakeThem) {
    const char* source = std::getenv("KNLP_SRC");
    const fs::path results = fs::path(source != nullptr ? source : ".") / "results";
    if (!fs::exists(results / "ledger.jsonl")) GTEST_SKIP() << "no source tree (KNLP_SRC)";
    int matrices = 0;
    for (const fs::directory_entry& entry : fs::directory_iterator(results)) {
        if (!fs::exists(entry.path() / "plan.json")) continue;
        ++matrices;
        EXPECT_EQ(check(entry.path(), results / "ledger.jsonl"), "")
            << "after a change of the report: knlp report DIR makes the tables again";
    }
    EXPECT_GT(matrices, 0);
}

}  // namespace

TEST_F(Package, HoldsPlanCellsAndRows) {
    unpack();
    for (const char* name : {"ledger.jsonl", "matrix/lr/plan.json", "matrix/lr/config.txt"})
        EXPECT_TRUE(fs::exists(root / name)) << name;
    for (const char* name : {"manifest.json", "metrics.jsonl", "status.json"})
        EXPECT_TRUE(fs::exists(root / "matrix/lr" / kCell / name)) << name;
    EXPECT_EQ(track::read_ledger_part(root / "ledger.jsonl").size(), 11u);
}

TEST_F(Package, IsTheSameBytesEachTime) {
    EXPECT_EQ(package(matrix, results), package(matrix, results));
}

TEST_F(Package, IsTheSameBytesInAnotherTimeZoneLocaleAndDirectory) {
    const std::string here = package(matrix, results);
    fs::copy(results, elsewhere.file("moved"), fs::copy_options::recursive);
    const test::ScopedEnvironment zone("TZ", "Pacific/Auckland"), locale("LC_ALL", "de_DE.UTF-8");
    ::tzset();
    EXPECT_EQ(here, package(elsewhere.file("moved") / "matrix/lr", elsewhere.file("moved")));
}

TEST_F(Package, TakesTheNewestRowsOfThisMatrixAlone) {
    json other = track::ledger_row("run", "runs/x");
    other["facts"]["state"] = "done";
    other["metrics"]["val_loss"] = 1;
    track::append_to_ledger(ledger, {other});
    test::change_small_manifest(matrix / kCell, {{"warnings", {"late"}}});
    track::append_to_ledger(ledger, ledger_rows(matrix, results));
    unpack();
    EXPECT_EQ(track::read_ledger_part(root / "ledger.jsonl").size(), 11u);
    EXPECT_EQ(check(root, ledger), "");
}

TEST_F(Package, WithoutRowsInTheLedgerIsRefusedWithWhatToDo) {
    fs::remove(ledger);
    expect_error(kUsage, {"no rows", "knlp report ledger add"}, [&] { package(matrix, results); });
}

TEST_F(Package, APlaceOfThisMachineIsNotPassedOn) {
    test::change_small_manifest(matrix / kCell,
                                {{"command_line", "knlp train --out /home/me/runs"}});
    expect_error(kData, {"rate-1e-3_s3/manifest.json", "/home/me/runs"},
                 [&] { package(matrix, results); });
}

TEST_F(Package, ThatIsWholeChecksOut) {
    unpack();
    EXPECT_EQ(check(archive, ledger), "");
    EXPECT_EQ(check(root, ledger), "");
    EXPECT_EQ(check(matrix, ledger), "");
}

TEST_F(Package, AChangedMetricIsNamedByFileAndRow) {
    unpack();
    replace(root / "matrix/lr" / kCell / "metrics.jsonl", "\"val_loss\":2.51", "\"val_loss\":2.41");
    EXPECT_THAT(check(root, ledger), testing::ContainsRegex("ledger.jsonl: row [0-9]+ names "
                                                            "matrix/lr/.*_s3/metrics.jsonl"));
}

TEST_F(Package, AChangedMetricInPlaceIsNamedToo) {
    replace(matrix / kCell / "metrics.jsonl", "\"val_loss\":2.51", "\"val_loss\":2.41");
    EXPECT_THAT(check(matrix, ledger), HasSubstr("metrics.jsonl"));
}

TEST_F(Package, AFigureOfTheLedgerThatItsFilesDoNotMakeIsFound) {
    unpack();
    // Signed again, as somebody would who wants a better number.
    std::string text = read_file(root / "ledger.jsonl"), out;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = text.find('\n', begin);
        json row = parse_json(text.substr(begin, end - begin), "row");
        if (row["kind"] == "contrast") row["metrics"]["mean_difference"] = -0.75;
        row.erase("hash");
        row["hash"] = sha256_hex(canonical_json(row));
        out += canonical_json(row) + "\n";
        begin = end + 1;
    }
    write_file_atomic(root / "ledger.jsonl", out);
    EXPECT_THAT(check(root, ledger),
                testing::ContainsRegex("row 11 matrix/lr/.*1e-3 says mean_difference -0.75, its "
                                       "files make it -0.5"));
}

TEST_F(Package, ADerivedFileThatItsCellsDoNotMakeIsFound) {
    write_derived(matrix, derived_files(matrix));
    EXPECT_EQ(check(matrix, ledger), "");
    unpack();
    EXPECT_EQ(check(archive, ledger), "");
    replace(root / "matrix/lr/summary.json", "better", "worse");
    EXPECT_THAT(check(root, ledger),
                testing::ContainsRegex("lr/summary.json:[0-9]+: is not what its results make it"));
}

TEST_F(Package, WhoseCheckWouldFailIsNotMade) {
    write_derived(matrix, derived_files(matrix));
    replace(matrix / "summary.json", "better", "worse");
    expect_error(kCheckFailed, {"summary.json", "is not what its results make it", "knlp report"},
                 [&] { package(matrix, results); });
}

TEST_F(Package, HoldsWhatWasDerived) {
    write_derived(matrix, derived_files(matrix));
    unpack();
    for (const auto& [name, content] : derived_files(matrix))
        EXPECT_EQ(read_file(root / "matrix/lr" / name), content) << name;
}

TEST_F(Package, AnEditedPlanIsFound) {
    unpack();
    replace(root / "matrix/lr/plan.json", "\"alpha\": 0.05", "\"alpha\": 0.15");
    EXPECT_THAT(check(root, ledger), HasSubstr("plan.json"));
    replace(matrix / "plan.json", "\"alpha\": 0.05", "\"alpha\": 0.15");
    EXPECT_THAT(check(matrix, ledger), HasSubstr("edited"));
}

TEST_F(Package, ARowThatWasEditedIsFound) {
    unpack();
    replace(root / "ledger.jsonl", "\"n\":5", "\"n\":6");
    EXPECT_THAT(check(root, ledger), HasSubstr("ledger.jsonl:11"));
}

TEST_F(Package, OfAnArchiveTheFindingNamesTheArchive) {
    write_file_atomic(archive, package(matrix, results));
    std::vector<ArchiveFile> files = read_tar_gz(archive);
    for (ArchiveFile& file : files)
        if (file.name.ends_with(std::string(kCell) + "/metrics.jsonl")) file.content += " ";
    write_file_atomic(archive, tar_gz(std::move(files)));
    EXPECT_THAT(check(archive, ledger),
                testing::StartsWith(archive.string() + ":ledger.jsonl: row"));
}

TEST_F(Package, WhatIsNoArchiveIsAnError) {
    write_file_atomic(archive, "no archive");
    expect_error(kData, {"lr.tar.gz"}, [&] { check(archive, ledger); });
    expect_error(kData, {"no such file"}, [&] { check(elsewhere.file("none"), ledger); });
}

TEST(CheckReport, APageOfARunThatItsFilesDoNotMakeIsFound) {
    const TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    write_report(run);
    EXPECT_EQ(check(run, dir.file("ledger.jsonl")), "");
    replace(run / "summary_report.txt", "2.07", "2.06");
    EXPECT_THAT(check(run, dir.file("ledger.jsonl")),
                testing::ContainsRegex("summary_report.txt:[0-9]+: is not what its results make"));
}

TEST(Curate, CopiesWhatARunMeasured) {
    const TempDir dir;
    const fs::path results = dir.path() / "results", run = test::write_fake_run(dir.path());
    curate(run, results, "nano");
    const json figures = read_json(results / "nano/figures.json");
    EXPECT_EQ(figures["val_loss"], test::fake_val_loss(600));
    EXPECT_FALSE(figures.contains("path"));
    for (const char* name : {"manifest.json", "metrics.jsonl", "summary.json"})
        EXPECT_EQ(read_file(results / "nano" / name), read_file(run / name)) << name;
    const std::vector<json> rows = ledger_rows(results / "nano", results);
    EXPECT_EQ(rows[0]["run_id"], "nano");
    EXPECT_TRUE(rows[0]["files"].contains("nano/figures.json"));
}

TEST(Curate, OfAMatrixGivesTheSameVerdict) {
    const TempDir dir;
    const fs::path results = dir.path() / "results";
    const fs::path matrix = write_small_matrix(results, kBetterBy);
    curate(matrix, results, "rates");
    const json before = ledger_rows(matrix, results).back(),
               after = ledger_rows(results / "rates", results).back();
    EXPECT_EQ(after["metrics"], before["metrics"]);
    EXPECT_EQ(after["run_id"], "rates/gpt2_adamw_learning_rate-1e-3");
}

TEST(Curate, RefusesWhatIsThereAndBadNames) {
    const TempDir dir;
    const fs::path results = dir.path() / "results", run = test::write_fake_run(dir.path());
    curate(run, results, "nano");
    expect_error(kUsage, {"there already"}, [&] { curate(run, results, "nano"); });
    for (const char* name : {"..", "a/b", "", "runs", ".x", "/x"})
        expect_error(kUsage, {"--name"}, [&] { curate(run, results, name); });
    fs::create_directories(dir.path() / "empty");
    expect_error(kData, {"neither"}, [&] { curate(dir.path() / "empty", results, "y"); });
}

}  // namespace knlp::report
