#include <gmock/gmock-more-matchers.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/track/ledger.h"
#include "tests/support/temp_dir.h"

namespace knlp {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

struct Outcome {
    int status = -1;
    std::string text;
};

Outcome shell(const std::string& command) {
    Outcome outcome;
    FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    char buffer[4096];
    for (size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
        outcome.text.append(buffer, n);
    const int status = ::pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

void write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
}

nlohmann::json row_of(const std::string& id, const nlohmann::json& metrics) {
    nlohmann::json row = track::ledger_row("run", id);
    row["facts"]["state"] = "done";
    row["metrics"] = metrics;
    return row;
}

/// results/ledger.jsonl: rows 1 and 3 are measurements of one run, row 2 was taken back by row 4.
void write_ledger(const fs::path& root) {
    write(root / "results/a.json", "{}");
    nlohmann::json again = row_of("a", {{"loss", 2.0735}, {"n/0", 1234567}, {"n/1", 0.25}}),
                   taken_back = track::ledger_row("invalidation", "row 2");
    again["files"]["a.json"] = sha256_hex("{}");
    taken_back["facts"] = {{"invalidates", 2}, {"why", "wrong text"}};
    track::append_to_ledger(
        root / "results/ledger.jsonl",
        {row_of("a", {{"loss", 3.5}}), row_of("b", {{"loss", 4.5}}), again, taken_back});
}

/// A tree of its own with the project's scripts/check-docs and one page.
Outcome check(const test::TempDir& dir, const std::string& page, const std::string& options = "") {
    const char* source = ::getenv("KNLP_SRC");
    fs::create_directories(dir.path() / "scripts/make");
    fs::copy_file(fs::path(source) / "scripts/check-docs", dir.path() / "scripts/check-docs",
                  fs::copy_options::overwrite_existing);
    write(dir.path() / "Makefile", "all: build\nbuild report: ; @:\nx := $(TIME)\n");
    write(dir.path() / "src/app/commands/Build.mk", "cmd-y := train report\n");
    write(dir.path() / "defconfigs/nano", "");
    if (!fs::exists(dir.path() / "results/ledger.jsonl")) write_ledger(dir.path());
    write(dir.path() / "docs/other.md", "# A heading, with `code`\n");
    write(dir.path() / "README.md", page);
    return shell("python3 -B " + (dir.path() / "scripts/check-docs").string() + " " + options);
}

Outcome check(const std::string& page) {
    return check(test::TempDir(), page);
}

struct Mistake {
    std::string line, finding;
};

/// A page with one mistake a line: each is found on its line, and nothing else is.
void expect_findings(const std::vector<Mistake>& mistakes) {
    std::string page;
    for (const Mistake& mistake : mistakes) page += mistake.line + "\n";
    const Outcome outcome = check(page);
    EXPECT_EQ(outcome.status, 1);
    for (size_t i = 0; i < mistakes.size(); ++i)
        EXPECT_THAT(outcome.text, testing::ContainsRegex("README.md:" + std::to_string(i + 1) +
                                                         ": .*" + mistakes[i].finding));
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), std::ssize(mistakes))
        << outcome.text;
}

class CheckDocs : public testing::Test {
    void SetUp() override {
        if (::getenv("KNLP_SRC") == nullptr)
            GTEST_SKIP() << "KNLP_SRC is not set (make test sets it)";
    }
};

}  // namespace

TEST_F(CheckDocs, AcceptsWhatIsRight) {
    const Outcome outcome = check(
        "[a](docs/other.md) [b](docs/other.md#a-heading-with-code) `make build TIME=5` `knlp "
        "train`\n"
        "```\n$ make defconfig-nano && ./knlp report DIR   # make anything\n```\n"
        "2.07<!-- ledger:3 metric=loss fmt=.2f --> **1,234,567**<!-- ledger:3 metric=n/0 fmt=,d -->"
        " 25<!-- ledger:3 metric=n/1 fmt=*100 .0f --> %, explained: 1<!-- ledger:SEQ metric=x "
        "fmt=d "
        "-->\n");
    EXPECT_EQ(outcome.status, 0);
    EXPECT_THAT(outcome.text, IsEmpty());
}

TEST_F(CheckDocs, FindsBrokenLinks) {
    expect_findings({{"[a](docs/absent.md)", "docs/absent.md does not exist"},
                     {"[a](docs/other.md#absent)", "no heading #absent"}});
}

TEST_F(CheckDocs, LooksIntoFoldersOfPages) {
    const test::TempDir dir;
    write(dir.path() / "docs/folder/page.md",
          "[a](../absent.md)\n[b](../other.md#a-heading-with-code)\n");
    const Outcome outcome = check(dir, "");
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.text, HasSubstr("docs/folder/page.md:1: link to ../absent.md"));
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
}

TEST_F(CheckDocs, FindsCommandsThatAreNone) {
    expect_findings({{"`make bulid`", "no target bulid"},
                     {"`make defconfig-absent`", "no preset absent"},
                     {"`make TIEM=5`", "no variable TIEM"},
                     {"`knlp trian`", "no verb trian"}});
}

TEST_F(CheckDocs, FindsFiguresThatDisagree) {
    expect_findings({{"2.08<!-- ledger:3 metric=loss fmt=.2f -->", "is 2.07"},
                     {"12.07<!-- ledger:3 metric=loss fmt=.2f -->", "is 2.07"},
                     {"1<!-- ledger:9 metric=x fmt=d -->", "no row 9"},
                     {"1<!-- ledger:3 metric=absent fmt=d -->", "no metric absent"},
                     {"1<!-- ledger:3 metric=loss fmt=q -->", "fmt=q"},
                     {"3.5<!-- ledger:1 metric=loss fmt=.1f -->", "again, in row 3"},
                     {"4.5<!-- ledger:2 metric=loss fmt=.1f -->", "taken back by row 4"}});
}

TEST_F(CheckDocs, UpdatesFiguresAndNothingElse) {
    const std::string loss = "<!-- ledger:3 metric=loss fmt=.2f -->",
                      old = "<!-- ledger:1 metric=loss fmt=.2f -->",
                      share = "<!-- ledger:3 metric=n/1 fmt=*100 .0f -->",
                      count = "<!-- ledger:3 metric=n/0 fmt=,d -->";
    const test::TempDir dir;
    const Outcome outcome = check(dir,
                                  "loss 3.50" + old + " **0.5**" + share + " of 12,000" + count +
                                      "\n2.07" + loss + " kept, 7\nnone" + loss,
                                  "--update");
    EXPECT_EQ(read_file(dir.path() / "README.md"), "loss 2.07" + loss + " **25**" + share +
                                                       " of 1,234,567" + count + "\n2.07" + loss +
                                                       " kept, 7\nnone" + loss);
    EXPECT_EQ(outcome.status, 1);  // there is no figure on the last line
    EXPECT_THAT(outcome.text, HasSubstr("README.md:3: "));
}

TEST_F(CheckDocs, EveryNumberOfAResultsTableIsOfTheLedger) {
    const std::string loss = "2.07<!-- ledger:3 metric=loss fmt=.2f -->";
    const Outcome outcome = check(
        "| run of 5 | loss | time | goal |\n|---|---|---|---|\n"
        "| 12 steps, 3 threads | " +
        loss +
        " ± 0.1 | `7` s, GPT-2 124M on 2026-01-02 | below 3 |\n"
        "| right | " +
        loss + " | [4](docs/other.md) | 2 |\n");
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.text, HasSubstr("README.md:3: 0.1 is no figure of the ledger"));
    EXPECT_THAT(outcome.text, HasSubstr("README.md:4: 4 is no figure of the ledger"));
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 2) << outcome.text;
}

TEST_F(CheckDocs, ATableOfAnotherKindSaysWhy) {
    const std::string table = "| symbol | default |\n|---|---|\n| `A` | 5 |\n";
    EXPECT_EQ(check("<!-- no-ledger: defaults -->\n" + table).status, 0);
    EXPECT_EQ(check("<!-- no-ledger: -->\n" + table).status, 1) << "a reason is wanted";
    EXPECT_EQ(check("<!-- no-ledger: defaults -->\n\n" + table).status, 1) << "right above it";
    EXPECT_EQ(check("```\n" + table + "```\n").status, 0) << "it is shown, not said";
}

TEST_F(CheckDocs, EveryNumberOfAMarkedParagraphIsOfTheLedger) {
    const Outcome outcome = check(
        "Without 1 mark.\n\n<!-- results -->\nThe loss is 2.07<!-- ledger:3 metric=loss fmt=.2f "
        "-->\n"
        "after 12 steps.\n\nAnd 3 more.\n");
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.text, HasSubstr("README.md:5: 12 is no figure"));
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
}

TEST_F(CheckDocs, AMetricChangedInTheLedgerIsFound) {
    const test::TempDir dir;
    write_ledger(dir.path());
    std::string text = read_file(dir.path() / "results/ledger.jsonl");
    text.replace(text.find("2.0735"), 6, "2.0725");
    write(dir.path() / "results/ledger.jsonl", text);
    const Outcome outcome = check(dir, "");
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.text, HasSubstr("results/ledger.jsonl:3: was edited"));
}

TEST_F(CheckDocs, ALineTakenOutOfTheLedgerIsFound) {
    const test::TempDir dir;
    write_ledger(dir.path());
    std::string text = read_file(dir.path() / "results/ledger.jsonl");
    text.erase(0, text.find('\n') + 1);
    write(dir.path() / "results/ledger.jsonl", text);
    EXPECT_THAT(check(dir, "").text, HasSubstr("results/ledger.jsonl:1: does not follow"));
}

TEST_F(CheckDocs, AFileThatIsNotTheLedgersIsFound) {
    const test::TempDir dir;
    write_ledger(dir.path());
    write(dir.path() / "results/a.json", "{ }");
    const Outcome outcome = check(dir, "");
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.text, HasSubstr("results/ledger.jsonl:3: results/a.json is not the file"));
}

TEST_F(CheckDocs, RunsCommandsThatNeedNoModelAndSaysHowTheyFail) {
    const test::TempDir dir;
    const fs::path program = dir.path() / "knlp";
    write(program,
          "#!/bin/sh\ncase \"$*\" in\n*--help) echo 'list --json --out';;\n\"report list\") echo "
          "'no index' >&2; exit 4;;\nreport*) ;;\n*) touch " +
              (dir.path() / "trained").string() + ";;\nesac\n");
    fs::permissions(program, fs::perms::owner_all);
    const Outcome outcome = check(dir,
                                  "`knlp train`\n`knlp report list --json > FILE`\n`knlp report "
                                  "list`\n`knlp report NAME`\n",
                                  "--knlp " + program.string());
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.text,
                HasSubstr("README.md:3: `knlp report list`: ends with status 4: no index"));
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 2) << outcome.text;
    EXPECT_THAT(outcome.text, HasSubstr("2 of the commands shown were run"));
    EXPECT_FALSE(fs::exists(dir.path() / "trained"));
}

TEST_F(CheckDocs, KnowsTheOptionsOfTheProgramItDocuments) {
    const char* program = ::getenv("KNLP_BIN");
    if (program == nullptr || !fs::exists(program)) GTEST_SKIP() << "KNLP_BIN names no program";
    const Outcome outcome = shell("python3 -B " + std::string(::getenv("KNLP_SRC")) +
                                  "/scripts/check-docs --knlp " + program);
    EXPECT_EQ(outcome.status, 0) << outcome.text;
}

}  // namespace knlp
