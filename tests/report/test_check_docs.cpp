#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

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

/// A tree of its own with the project's scripts/check-docs and one page.
Outcome check(const test::TempDir& dir, const std::string& page, const std::string& options = "") {
    const char* source = ::getenv("KNLP_SRC");
    fs::create_directories(dir.path() / "scripts/make");
    fs::copy_file(fs::path(source) / "scripts/check-docs", dir.path() / "scripts/check-docs",
                  fs::copy_options::overwrite_existing);
    write(dir.path() / "Makefile", "all: build\nbuild report: ; @:\nx := $(TIME)\n");
    write(dir.path() / "src/app/commands/Build.mk", "cmd-y := train report\n");
    write(dir.path() / "defconfigs/nano", "");
    write(dir.path() / "results/a.json", R"({"val":{"loss":2.0735},"n":[1234567,0.25]})");
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
        "2.07<!-- figure: results/a.json /val/loss .2f --> **1,234,567**<!-- figure: "
        "results/a.json /n/0 ,d -->"
        " 25<!-- figure: results/a.json /n/1 *100 .0f --> %");
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
    expect_findings({{"2.08<!-- figure: results/a.json /val/loss .2f -->", "is 2.07"},
                     {"12.07<!-- figure: results/a.json /val/loss .2f -->", "is 2.07"},
                     {"1<!-- figure: results/absent.json /x d -->", "results/absent.json"},
                     {"1<!-- figure: results/a.json /val/absent d -->", "KeyError"}});
}

TEST_F(CheckDocs, UpdatesFiguresAndNothingElse) {
    const std::string loss = "<!-- figure: results/a.json /val/loss .2f -->",
                      share = "<!-- figure: results/a.json /n/1 *100 .0f -->",
                      count = "<!-- figure: results/a.json /n/0 ,d -->";
    const test::TempDir dir;
    const Outcome outcome = check(dir,
                                  "loss 1.9e-3" + loss + " **0.5**" + share + " of 12,000" + count +
                                      "\n2.07" + loss + " kept, 7\nnone" + loss,
                                  "--update");
    std::ifstream stream(dir.path() / "README.md");
    const std::string page{std::istreambuf_iterator<char>(stream), {}};
    EXPECT_EQ(page, "loss 2.07" + loss + " **25**" + share + " of 1,234,567" + count + "\n2.07" +
                        loss + " kept, 7\nnone" + loss);
    EXPECT_EQ(outcome.status, 1);  // there is no figure on the last line
    EXPECT_THAT(outcome.text, HasSubstr("README.md:3: "));
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
    EXPECT_THAT(outcome.text, HasSubstr("README.md:3: `knlp report list`: ends with status 4: no index"));
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
