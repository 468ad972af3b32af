// scripts/make-venv with a stand-in for Python: what is left when it is killed, and when two are at
// work.
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace knlp::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

// As python3 it makes environments, and in one it is the Python that installs there.
constexpr const char* kPython = R"(#!/bin/sh
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip install"*)
    echo install >> "$LOG"
    if [ -n "$DIES" ]; then kill -9 $PPID; exit 1; fi
    touch "$(dirname "$0")/../installed" ;;
"-m pip freeze") echo 'thing==1' ;;
"-c import thing") [ -e "$(dirname "$0")/../installed" ] ;;
esac
)";

class MakeVenv : public testing::Test {
protected:
    TempDir directory_;
    fs::path venv_ = directory_.file("cache") / "venv";

    void SetUp() override {
        fs::create_directory(directory_.file("bin"));
        directory_.write("bin/python3", kPython);
        fs::permissions(directory_.file("bin/python3"), fs::perms::owner_all);
    }
    /// `commands`: of the shell, in which "$MAKE thing" makes the environment with that package.
    Finished shell(const std::string& commands, const std::string& dies = "") {
        const char* source = std::getenv("KNLP_SRC");
        const fs::path tree = source ? fs::path(source) : fs::current_path();
        return run_program(
            {"sh", "-c",
             "make_venv() { \"$SCRIPT\" \"$VENV\" THING 'import thing' \"$@\"; }; " + commands},
            {{"SCRIPT", (tree / "scripts/make-venv").string()},
             {"VENV", venv_.string()},
             {"LOG", directory_.file("log").string()},
             {"DIES", dies},
             {"PATH", directory_.file("bin").string() + ":/usr/bin:/bin"}});
    }
    std::string text(const fs::path& path) {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }
};

TEST_F(MakeVenv, IsOnlyLookedAtOnceItIsThere) {
    const Finished made = shell("make_venv thing==1 && make_venv thing==1");
    EXPECT_EQ(made.status, 0) << made.err;
    EXPECT_THAT(made.err, HasSubstr("  THING   "));
    EXPECT_EQ(text(directory_.file("log")), "install\n");
    EXPECT_EQ(text(venv_ / ".complete"), "# thing==1\nthing==1\n");
}

TEST_F(MakeVenv, KilledInTheMiddleCountsAsNoneAndIsMadeByTheNext) {
    EXPECT_NE(shell("make_venv thing==1", "y").status, 0);
    EXPECT_TRUE(fs::exists(venv_ / "bin/python"));
    EXPECT_FALSE(fs::exists(venv_ / ".complete"));
    EXPECT_EQ(shell("make_venv thing==1").status, 0);
    EXPECT_THAT(text(venv_ / ".complete"), StartsWith("# thing==1\n"));
}

TEST_F(MakeVenv, KilledWhileItIsBroughtUpToDateCountsAsNone) {
    ASSERT_EQ(shell("make_venv thing==1").status, 0);
    EXPECT_NE(shell("make_venv thing==2", "y").status, 0);
    EXPECT_FALSE(fs::exists(venv_ / ".complete"));
}

TEST_F(MakeVenv, TwoAtOnceInstallOnce) {
    const Finished both =
        shell("make_venv thing==1 & make_venv thing==1; wait $! && make_venv thing==1");
    EXPECT_EQ(both.status, 0) << both.err;
    EXPECT_EQ(text(directory_.file("log")), "install\n");
}

}  // namespace
}  // namespace knlp::test
