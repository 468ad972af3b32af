#include "knlp/track/ledger.h"

#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace knlp::track {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::expect_error;
using test::TempDir;
using testing::HasSubstr;

json run_row(const std::string& id, double loss) {
    json row = ledger_row("run", id);
    row["facts"]["state"] = "done";
    row["metrics"]["val_loss"] = loss;
    row["git_commit"] = "0123456789ab";
    row["git_dirty"] = false;
    return row;
}

json contrast_row(const std::string& verdict, int64_t n) {
    json row = ledger_row("contrast", "m/arm");
    row["facts"]["verdict"] = verdict;
    row["metrics"] = {{"n", n}, {"mean_difference", -0.01}};
    row["git_dirty"] = false;
    return row;
}

/// A ledger of three rows, the last of which names a file that is there.
fs::path small_ledger(const TempDir& dir) {
    json with_file = run_row("c", 3.5);
    with_file["files"]["c.json"] = sha256_hex(read_file(dir.write("c.json", "{\"loss\":3.5}")));
    const fs::path ledger = dir.file("ledger.jsonl");
    append_to_ledger(ledger, {run_row("a", 1.5), run_row("b", 2.5), with_file});
    return ledger;
}

std::string class_of(const json& row) {
    return std::string(classify(row).evidence_class);
}

}  // namespace

TEST(Ledger, RowsFollowOneAnother) {
    const TempDir dir;
    const fs::path ledger = small_ledger(dir);
    const std::vector<json> rows = read_ledger(ledger);
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0]["prev"], std::string(64, '0'));
    EXPECT_EQ(rows[1]["prev"], rows[0]["hash"]);
    json content = rows[2];
    content.erase("hash");
    EXPECT_EQ(rows[2]["hash"], sha256_hex(canonical_json(content)));
    EXPECT_EQ(rows[2]["seq"], 3);
    EXPECT_FALSE(verify_ledger(ledger));
}

TEST(Ledger, EveryByteFlippedBreaksItsLine) {
    const TempDir dir;
    std::string text = read_file(small_ledger(dir));
    int64_t line = 1;
    for (size_t i = 0; i < text.size(); ++i) {
        for (const int bit : {0, 3, 6}) {
            const char before = text[i];
            text[i] = static_cast<char>(before ^ (1 << bit));
            const auto problem = ledger_problem(text, "ledger.jsonl");
            ASSERT_TRUE(problem) << "byte " << i << ", bit " << bit;
            ASSERT_EQ(problem->line, line) << "byte " << i << ": " << problem->what;
            text[i] = before;
        }
        if (text[i] == '\n') ++line;
    }
    EXPECT_FALSE(ledger_problem(text, "ledger.jsonl"));
}

TEST(Ledger, ARowLeftOutOrPutFirstIsFound) {
    const TempDir dir;
    const std::string text = read_file(small_ledger(dir));
    const size_t second = text.find('\n') + 1, third = text.find('\n', second) + 1;
    EXPECT_EQ(ledger_problem(text.substr(0, second) + text.substr(third), "l")->line, 2);
    EXPECT_EQ(ledger_problem(text.substr(second), "l")->line, 1);
}

TEST(Ledger, AClassThatItsFactsDoNotGiveIsFound) {
    json row = contrast_row("no difference shown", 5);
    const TempDir dir;
    append_to_ledger(dir.file("l"), {row});
    row = read_ledger(dir.file("l"))[0];
    row["class"] = "SUPPORTED";
    row.erase("hash");
    row["hash"] = sha256_hex(canonical_json(row));
    const auto problem = ledger_problem(canonical_json(row) + "\n", "l");
    ASSERT_TRUE(problem);
    EXPECT_THAT(problem->what, HasSubstr("its facts make it NEUTRAL"));
}

TEST(Ledger, AChangedFileIsNamedWithItsLine) {
    const TempDir dir;
    const fs::path ledger = small_ledger(dir);
    dir.write("c.json", "{\"loss\":3.4}");
    const auto problem = verify_ledger(ledger);
    ASSERT_TRUE(problem);
    EXPECT_EQ(problem->line, 3);
    EXPECT_THAT(problem->what, HasSubstr("c.json"));
    fs::remove(dir.file("c.json"));
    EXPECT_FALSE(verify_ledger(ledger)) << "a file that is not there cannot differ";
}

TEST(Ledger, AFileMeasuredAgainIsComparedWithItsNewestRow) {
    const TempDir dir;
    const fs::path ledger = small_ledger(dir);
    json again = run_row("c", 3.25);
    again["files"]["c.json"] = sha256_hex(read_file(dir.write("c.json", "{\"loss\":3.25}")));
    append_to_ledger(ledger, {again});
    EXPECT_FALSE(verify_ledger(ledger));
}

TEST(Ledger, WhatIsKnownIsNotRepeated) {
    const TempDir dir;
    const fs::path ledger = small_ledger(dir);
    const std::string before = read_file(ledger);
    EXPECT_EQ(append_to_ledger(ledger, {run_row("b", 2.5)}), std::vector<int64_t>{2});
    EXPECT_EQ(read_file(ledger), before);
    EXPECT_EQ(append_to_ledger(ledger, {run_row("b", 2.25)}), std::vector<int64_t>{4});
}

TEST(Ledger, OfRowsOfOneFileOnlyThoseThatChangedAreAddedAgain) {
    const TempDir dir;
    const fs::path ledger = dir.file("ledger.jsonl");
    const auto rows = [&dir](double b) {
        json one = run_row("f/a", 1), two = run_row("f/b", b);
        one["files"]["f.json"] = two["files"]["f.json"] =
            sha256_hex(read_file(dir.write("f.json", std::to_string(b))));
        return std::vector<json>{one, two};
    };
    append_to_ledger(ledger, rows(2));
    EXPECT_EQ(append_to_ledger(ledger, rows(3)), (std::vector<int64_t>{1, 3}));
    EXPECT_FALSE(verify_ledger(ledger));
}

TEST(Ledger, AFileWhoseFiguresStayedIsAddedAgainAll) {
    const TempDir dir;
    const fs::path ledger = small_ledger(dir);
    json same = run_row("c", 3.5);
    same["files"]["c.json"] = sha256_hex(read_file(dir.write("c.json", "{\"loss\": 3.5}")));
    EXPECT_EQ(append_to_ledger(ledger, {same}), std::vector<int64_t>{4});
    EXPECT_FALSE(verify_ledger(ledger));
}

TEST(Ledger, RowsTakenOutOfALedgerAreAPartOfIt) {
    const TempDir dir;
    const std::string text = read_file(small_ledger(dir));
    const size_t second = text.find('\n') + 1, third = text.find('\n', second) + 1;
    EXPECT_EQ(read_ledger_part(dir.write("p", text.substr(0, second) + text.substr(third))).size(),
              2u);
    expect_error(kData, {"p:2", "seq 1 after 3"}, [&] {
        read_ledger_part(dir.write("p", text.substr(third) + text.substr(0, second)));
    });
}

TEST(Ledger, AnAppendThatWasCutShortIsReportedWithWhatToDo) {
    const TempDir dir;
    const fs::path ledger = small_ledger(dir);
    const std::string whole = read_file(ledger);
    std::ofstream(ledger, std::ios::app) << R"({"binary_sha256":nu)";
    const auto problem = verify_ledger(ledger);
    ASSERT_TRUE(problem);
    EXPECT_EQ(problem->line, 4);
    EXPECT_THAT(problem->what,
                HasSubstr(fmt::format("truncate -s {} {}", whole.size(), ledger.string())));
    expect_error(kData, {"ledger.jsonl:4", "truncate"},
                 [&] { append_to_ledger(ledger, {run_row("d", 1)}); });
    fs::resize_file(ledger, whole.size());
    EXPECT_EQ(append_to_ledger(ledger, {run_row("d", 1)}), std::vector<int64_t>{4});
}

TEST(Ledger, AppendersWaitForOneAnother) {
    const TempDir dir;
    const fs::path ledger = dir.file("ledger.jsonl");
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&ledger, t] {
            for (int i = 0; i < 10; ++i)
                append_to_ledger(ledger, {run_row(fmt::format("{}-{}", t, i), i)});
        });
    for (std::thread& thread : threads) thread.join();
    std::set<std::string> ids;
    for (const json& row : read_ledger(ledger)) ids.insert(row["run_id"]);
    EXPECT_EQ(ids.size(), 40u);
}

TEST(Ledger, AFullDiskLeavesNoPartOfALine) {
    const TempDir dir;
    const fs::path ledger = small_ledger(dir);
    const std::string before = read_file(ledger);
    struct rlimit limits {};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limits), 0);
    const struct rlimit small { before.size() + 100, limits.rlim_max };
    const auto handler = ::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_THROW(append_to_ledger(ledger, {run_row("d", 1)}), Error);
    ::setrlimit(RLIMIT_FSIZE, &limits);
    ::signal(SIGXFSZ, handler);
    EXPECT_EQ(read_file(ledger), before);
    EXPECT_EQ(append_to_ledger(ledger, {run_row("d", 1)}), std::vector<int64_t>{4});
}

TEST(Ledger, ALaterRowInvalidatesAnEarlierOne) {
    const TempDir dir;
    const fs::path ledger = small_ledger(dir);
    json row = ledger_row("invalidation", "b");
    row["facts"] = {{"invalidates", 2}, {"why", "measured on the wrong text"}};
    append_to_ledger(ledger, {row});
    const std::vector<json> rows = read_ledger(ledger);
    EXPECT_EQ(invalidated_by(rows, 2), 4);
    EXPECT_FALSE(invalidated_by(rows, 1));
    row["facts"]["invalidates"] = 9;
    expect_error(kUsage, {"no row 9"}, [&] { append_to_ledger(ledger, {row}); });
}

TEST(Ledger, APathOutsideItsDirectoryIsRefused) {
    const TempDir dir;
    for (const char* path : {"/etc/passwd", "../x", "a/../x"}) {
        json row = run_row("a", 1);
        row["files"][path] = std::string(64, 'a');
        expect_error(kData, {path}, [&] { append_to_ledger(dir.file("l"), {row}); });
    }
    EXPECT_FALSE(fs::exists(dir.file("l")));
}

TEST(Ledger, AVerdictIsSupportedOnlyWithThreePairsOnCleanRealData) {
    EXPECT_EQ(class_of(contrast_row("better", 3)), "SUPPORTED");
    EXPECT_EQ(class_of(contrast_row("equivalent", 5)), "SUPPORTED");
    EXPECT_EQ(class_of(contrast_row("worse", 2)), "SUPPORTED_BUT_LIMITED");
    EXPECT_EQ(class_of(contrast_row("no difference shown", 5)), "NEUTRAL");
    EXPECT_EQ(class_of(contrast_row("no verdict", 5)), "NON_DIAGNOSTIC");
    EXPECT_EQ(class_of(contrast_row("better", 1)), "NON_DIAGNOSTIC");
    const auto limited = [](const char* pointer, const json& value) {
        json row = contrast_row("better", 5);
        row[json::json_pointer(pointer)] = value;
        return class_of(row);
    };
    for (const char* flag :
         {"/synthetic", "/substitute", "/git_dirty", "/facts/extended", "/facts/drift"})
        EXPECT_EQ(limited(flag, true), "SUPPORTED_BUT_LIMITED") << flag;
    EXPECT_EQ(limited("/git_dirty", nullptr), "SUPPORTED_BUT_LIMITED");
    EXPECT_EQ(limited("/metrics/dropped", 1), "SUPPORTED_BUT_LIMITED");
}

TEST(Ledger, ARunOrALoneBenchmarkShowsNothingByItself) {
    EXPECT_EQ(class_of(run_row("a", 1)), "NON_DIAGNOSTIC");
    json benchmark = ledger_row("benchmark", "goals/x");
    benchmark["metrics"]["median_s"] = 1;
    EXPECT_EQ(class_of(benchmark), "NON_DIAGNOSTIC");
    benchmark["facts"]["outcome"] = "apart";
    EXPECT_EQ(class_of(benchmark), "SUPPORTED_BUT_LIMITED");
    benchmark["facts"]["outcome"] = "within noise";
    EXPECT_EQ(class_of(benchmark), "NEUTRAL");
    benchmark["facts"]["valid"] = false;
    EXPECT_EQ(class_of(benchmark), "NON_DIAGNOSTIC");
}

TEST(Ledger, WhatNobodyMeasuredIsAHypothesisOrAnothers) {
    json row = ledger_row("hypothesis", "spam helps at scale");
    EXPECT_EQ(class_of(row), "HYPOTHESIS");
    row = ledger_row("published", "SPAM, table 2");
    row["facts"]["source"] = "arXiv 2501.06842";
    row["metrics"]["perplexity"] = 30.46;
    EXPECT_EQ(class_of(row), "PUBLISHED_ELSEWHERE");
}

TEST(Ledger, MetricsAreNumbersByTheirWay) {
    json metrics = json::object();
    add_metrics(json::parse(R"({"a b":{"c":[1,2.5]},"d":"text","e":null,"f":true})"), "x", metrics);
    EXPECT_EQ(metrics, json::parse(R"({"x/a_b/c/0":1,"x/a_b/c/1":2.5})"));
}

}  // namespace knlp::track
