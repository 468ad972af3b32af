#include "tests/cli/cli_test.h"

#include <sstream>

namespace knlp::test {
namespace {

using testing::Contains;
using testing::Not;

/// Completion and manual page.
class Shell : public CliTest {
protected:
    /// Words bash would offer for a line; the last word is the one being typed.
    std::vector<std::string> completions(const std::string& script, const std::string& words) {
        write("script", script);
        const Finished done = run_shell("compopt() { :; }; source ./script; COMP_WORDS=(" + words +
                                            "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); "
                                            "_knlp; printf '%s\\n' \"${COMPREPLY[@]}\"",
                                        dir_.path());
        EXPECT_EQ(done.err, "");
        std::vector<std::string> offered;
        std::istringstream lines(done.out);
        for (std::string line; std::getline(lines, line);) offered.push_back(line);
        return offered;
    }
};

TEST_F(Shell, BashCompletesVerbsOptionsAndSymbols) {
    const Finished script = knlp({"completion", "bash"});
    ASSERT_EQ(script.status, 0) << script.err;
    EXPECT_THAT(completions(script.out, "knlp co"), Contains("config"));
    EXPECT_THAT(completions(script.out, "knlp config l"), testing::ElementsAre("list"));
    EXPECT_THAT(completions(script.out, "knlp config list --j"), testing::ElementsAre("--json"));
    EXPECT_THAT(completions(script.out, "knlp train --set LEARNING_R"),
                testing::ElementsAre("LEARNING_RATE="));
    EXPECT_THAT(completions(script.out, "knlp config explain LEARNING_R"),
                testing::ElementsAre("LEARNING_RATE"));
    // Build symbols cannot be set when knlp runs.
    EXPECT_THAT(completions(script.out, "knlp train --set USE_"), Not(Contains("USE_CUDA=")));
}

TEST_F(Shell, ZshScriptIsForItsFunctionPath) {
    const Finished script = knlp({"completion", "zsh"});
    EXPECT_EQ(script.out.find("#compdef knlp\n"), 0u);
    EXPECT_THAT(script.out, testing::HasSubstr("'knlp config') items=('list:symbols with"));
    if (run_program({"zsh", "--version"}).status != 0)
        GTEST_SKIP() << "zsh is not installed, its syntax was not checked";
    write("_knlp", script.out);
    EXPECT_EQ(run_program({"zsh", "-n", "_knlp"}, {}, dir_.path()).status, 0);
}

TEST_F(Shell, ManualPageRendersWithoutWarnings) {
    const Finished page = knlp({"man"});
    EXPECT_EQ(page.out.find(".TH KNLP 1"), 0u);
    for (const char* part : {".SH NAME", ".SH COMMANDS", ".SS knlp config", ".SH ENVIRONMENT",
                             ".SH EXIT STATUS", ".B 130"})
        EXPECT_THAT(page.out, testing::HasSubstr(part));
    write("knlp.1", page.out);
    if (run_program({"groff", "--version"}).status != 0)
        GTEST_SKIP() << "groff is not installed, rendering was not checked";
    const Finished rendered =
        run_program({"groff", "-man", "-ww", "-Tutf8", "knlp.1"}, {}, dir_.path());
    EXPECT_EQ(rendered.status, 0);
    EXPECT_EQ(rendered.err, "");
    EXPECT_THAT(rendered.out, testing::HasSubstr("--set"));
}

}  // namespace
}  // namespace knlp::test
