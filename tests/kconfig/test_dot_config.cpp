// The check of an existing .config before a build, and what survives two makes or a kill.
#include "tests/kconfig/tools.h"

#include <future>
#include <set>
#include <string>

namespace knlp::test {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Replaces one line of the .config; the line must be there.
void edit(const Output& output, const std::string& line, const std::string& by) {
    std::string text = read_text(output.dot_config());
    const size_t at = text.find("\n" + line + "\n");
    ASSERT_NE(at, std::string::npos) << line;
    write_text(output.dot_config(), text.replace(at + 1, line.size(), by));
}

Finished sync(const Output& output) {
    return output.tool("sync.py", {output.dot_config().string(), output.path().string()});
}

TEST(DotConfig, HandEditedValueOutOfRangeIsAnErrorNotAReset) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    edit(output, "CONFIG_GPT2_PAD_VOCAB=1", "CONFIG_GPT2_PAD_VOCAB=9999");
    const std::string edited = read_text(output.dot_config());
    const Finished result = sync(output);
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err, HasSubstr("E_RANGE"));
    EXPECT_THAT(result.err, HasSubstr("CONFIG_GPT2_PAD_VOCAB=9999"));
    EXPECT_EQ(read_text(output.dot_config()), edited);
    EXPECT_FALSE(std::filesystem::exists(output.file("include/config/auto.conf")));
}

TEST(DotConfig, LineOfAnUnknownSymbolIsAnError) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    edit(output, "CONFIG_SEED=1", "CONFIG_SEEED=1");
    const Finished result = sync(output);
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err, HasSubstr("did you mean SEED"));
}

TEST(DotConfig, LineLeftFromAnotherChoiceIsAnError) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    edit(output, "CONFIG_HYPER_PARAM_MANUAL=y", "# CONFIG_HYPER_PARAM_MANUAL is not set");
    edit(output, "# CONFIG_HYPER_PARAM_AUTO is not set", "CONFIG_HYPER_PARAM_AUTO=y");
    const Finished result = sync(output);
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err, HasSubstr("CONFIG_BATCH_SIZE=16 depends on HYPER_PARAM_MANUAL"));
}

TEST(DotConfig, SymbolsItDoesNotHaveTakeTheirDefaultsWithOneLine) {
    const Output output;
    write_text(output.dot_config(), "CONFIG_SEED=7\n");
    const Finished result = sync(output);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(result.err, testing::MatchesRegex(
                                "knlp: note: [^\n]* new symbols take their defaults [^\n]*\n"));
    EXPECT_EQ(read_text(output.dot_config()), "CONFIG_SEED=7\n");
    EXPECT_THAT(read_text(output.file("include/config/auto.conf")),
                HasSubstr("\nCONFIG_GPT2_BLOCK_SIZE=1024\n"));
}

TEST(DotConfig, ToolkitThatWentAwayIsNotTheUsersFault) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    edit(output, "# CONFIG_HAVE_CUDA_TOOLKIT is not set", "CONFIG_HAVE_CUDA_TOOLKIT=y");
    EXPECT_EQ(sync(output).status, 0);
    EXPECT_THAT(read_text(output.file("include/generated/knlp_config.h")),
                HasSubstr("# CONFIG_HAVE_CUDA_TOOLKIT is not set"));
}

TEST(DotConfig, OldNamesAreTranslatedWithANote) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    edit(output, "CONFIG_SEED=1", "CONFIG_RA_SEED=11");
    const Finished result = sync(output);
    EXPECT_EQ(result.status, 0);
    EXPECT_THAT(result.err, HasSubstr("CONFIG_RA_SEED is now CONFIG_SEED"));
    EXPECT_THAT(read_text(output.file("include/config/auto.conf")),
                HasSubstr("\nCONFIG_SEED=11\n"));
}

TEST(Generated, HeaderHoldsBuildSymbolsOnlySortedAndTheirHash) {
    const Output output;
    ASSERT_EQ(output.load("CONFIG_LTO=y\n").status, 0);
    ASSERT_EQ(sync(output).status, 0);
    const std::string header = read_text(output.file("include/generated/knlp_config.h"));
    EXPECT_THAT(header, HasSubstr("\n#define CONFIG_LTO 1\n"));
    EXPECT_THAT(header, HasSubstr("\n    \"# CONFIG_SANITIZE_ADDRESS is not set\\n\" \\\n"));
    EXPECT_THAT(header, Not(HasSubstr("SEED")));

    // The text as the compiler sees it, and sha256sum's opinion of it.
    write_text(
        output.file("print.sh"),
        "printf '#include \"include/generated/knlp_config.h\"\\n#include <cstdio>\\n"
        "int main() { std::fputs(KNLP_BUILD_CONFIG_TEXT, stdout); }' > print.cpp && "
        "g++ -I. print.cpp -o print && ./print > text && "
        "grep -o '[0-9a-f]\\{64\\}' include/generated/knlp_config.h && sha256sum < text && sort -C "
        "-k1.3 "
        "<(sed 's/^# CONFIG/CONFIG/; s/ is not set$/=n/; s/^CONFIG/  CONFIG/; s/=.*//' text)");
    const Finished result =
        run_program({"bash", "-e", "print.sh"}, {{"LC_ALL", "C"}}, output.path());
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out.substr(0, 64), result.out.substr(65, 64));
}

TEST(Generated, RunSymbolLeavesTheHeaderAloneAndABuildSymbolDoesNot) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    ASSERT_EQ(sync(output).status, 0);
    const std::filesystem::path header = output.file("include/generated/knlp_config.h");
    const std::filesystem::path schema = output.file("include/generated/config_schema.inc");
    const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
    std::filesystem::last_write_time(header, long_ago);
    std::filesystem::last_write_time(schema, long_ago);

    edit(output, "CONFIG_SEED=1", "CONFIG_SEED=2");
    ASSERT_EQ(sync(output).status, 0);
    EXPECT_EQ(std::filesystem::last_write_time(header), long_ago);
    EXPECT_EQ(std::filesystem::last_write_time(schema), long_ago);

    edit(output, "# CONFIG_LTO is not set", "CONFIG_LTO=y");
    ASSERT_EQ(sync(output).status, 0);
    EXPECT_NE(std::filesystem::last_write_time(header), long_ago);
    EXPECT_EQ(std::filesystem::last_write_time(schema), long_ago);
}

TEST(Generated, MakeReadsStringsThatLookLikeMakeCode) {
    const Output output;
    ASSERT_EQ(output.load("CONFIG_DATA_DIR=\"$(shell touch broken)#x\"\n").status, 0);
    ASSERT_EQ(sync(output).status, 0);
    write_text(output.file("Makefile"),
               "include include/config/auto.conf\nall:\n\t@echo '$(value CONFIG_DATA_DIR)'\n");
    const Finished result = run_program({"make", "-s"}, {{"MAKEFLAGS", ""}}, output.path());
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_FALSE(std::filesystem::exists(output.file("broken")));
}

TEST(Concurrency, TwoLoadsAndTwoSyncsLeaveWholeFiles) {
    const Output output;
    ASSERT_EQ(output.load("CONFIG_SEED=5\n").status, 0);
    const std::string five = read_text(output.dot_config());
    ASSERT_EQ(output.load("CONFIG_SEED=6\n").status, 0);
    const std::string six = read_text(output.dot_config());
    write_text(output.file("five"), "CONFIG_SEED=5\n");
    write_text(output.file("six"), "CONFIG_SEED=6\n");

    std::vector<std::future<Finished>> runs;
    for (int i = 0; i < 3; ++i)
        for (const char* name : {"five", "six", ""})
            runs.push_back(std::async(std::launch::async, [&output, name] {
                return *name != '\0'
                           ? output.tool("kconfcheck.py", {"load", output.file(name).string()})
                           : sync(output);
            }));
    for (std::future<Finished>& run : runs) {
        const Finished result = run.get();
        EXPECT_EQ(result.status, 0) << result.err;
    }
    EXPECT_THAT(read_text(output.dot_config()), testing::AnyOf(five, six));
    EXPECT_THAT(read_text(output.file(".config.old")), testing::AnyOf(five, six));
    EXPECT_EQ(names_in(output.path()), (std::vector<std::string>{".config", ".config.old", "five",
                                                                 "fragment", "include", "six"}));
}

TEST(Concurrency, LoadKilledAtAnyMomentLeavesTheOldOrTheNewConfiguration) {
    const Output output;
    ASSERT_EQ(output.load("CONFIG_SEED=6\n").status, 0);
    const std::string six = read_text(output.dot_config());
    ASSERT_EQ(output.load("CONFIG_SEED=5\n").status, 0);
    const std::string five = read_text(output.dot_config());
    write_text(output.file("six"), "CONFIG_SEED=6\n");
    const std::string script = (source_tree() / "scripts/kconfig/kconfcheck.py").string();
    std::set<std::string> seen;
    for (int i = 1; i <= 14; ++i) {
        write_text(output.dot_config(), five);
        const std::string seconds = "0." + std::string(i < 10 ? "0" : "") + std::to_string(i);
        run_program({"timeout", "-s", "KILL", seconds, "/usr/bin/python3", "-B", script, "load",
                     output.file("six").string()},
                    {{"KCONFIG_CONFIG", output.dot_config().string()},
                     {"KNLP_HAVE_CUDA", "n"},
                     {"TMPDIR", output.path().string()}},
                    source_tree());
        const std::string after = read_text(output.dot_config());
        EXPECT_THAT(after, testing::AnyOf(five, six)) << seconds;
        seen.insert(after);
    }
    EXPECT_EQ(seen.count(five), 1u) << "no run was killed early enough";
}

TEST(Load, SaysWhichFileItCannotWrite) {
    const Output output;
    write_text(output.file("plain"), "");
    write_text(output.file("preset"), "CONFIG_SEED=5\n");
    const Finished result =
        output.tool("kconfcheck.py", {"load", output.file("preset").string()},
                    {{"KCONFIG_CONFIG", output.file("plain/.config").string()}});
    EXPECT_EQ(result.status, 4);
    EXPECT_THAT(result.err,
                testing::StartsWith("knlp: error[E_IO]: " + output.file("plain").string()));
    const Finished missing =
        output.tool("kconfcheck.py", {"load", output.file("nothing").string()});
    EXPECT_EQ(missing.status, 4);
    EXPECT_THAT(missing.err, HasSubstr(output.file("nothing").string() + ": No such file"));
}

}  // namespace
}  // namespace knlp::test
