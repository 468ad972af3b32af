// Configuration targets of make, as a user meets them.
#include "tests/kconfig/tools.h"
#include "tests/support/terminal.h"

#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace knlp::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

TEST(NoConfiguration, MakeNamesTheWaysToGetOneAndMakesNothing) {
    const Output output;
    for (const std::vector<std::string>& goals :
         {std::vector<std::string>{}, {"build"}, {"train"}, {"test"}}) {
        const Finished result = output.make(goals);
        EXPECT_EQ(result.status, 2);
        EXPECT_THAT(result.err,
                    StartsWith("*** No configuration found (" + output.dot_config().string() +
                               ").\n"
                               "*** Run \"make O=" +
                               output.path().string() + " menuconfig\" or \"make O=" +
                               output.path().string() + " defconfig-NAME\"; presets:\n"));
        EXPECT_THAT(result.err, HasSubstr("  gpt2-nano-cpu "));
        EXPECT_THAT(result.err, HasSubstr("  gpt2-vanilla-baseline "));
        EXPECT_THAT(names_in(output.path()), IsEmpty());
    }
}

TEST(NoConfiguration, TargetsThatNeedNoneWork) {
    const Output output;
    EXPECT_EQ(output.make({"help"}).status, 0);
    EXPECT_EQ(output.make({"kconfig-help"}).status, 0);
    EXPECT_EQ(output.make({"clean"}).status, 0);
    const Finished list = output.make({"list-defconfigs"});
    EXPECT_EQ(list.status, 0);
    for (const char* name : {"gpt2-nano-cpu", "smoke-gpt2", "gpt2-vanilla-baseline",
                             "gpt2-tiny-baseline", "gpt2-tinystories-baseline", "gpt2-shakespeare",
                             "gpt2-finewebedu-baseline", "cpu-linuxdoc-gpt2"})
        EXPECT_THAT(list.out, HasSubstr(std::string("  ") + name + " "));
    EXPECT_THAT(names_in(output.path()), IsEmpty());
}

TEST(Presets, AreListedWithTheirModel) {
    const Finished list = Output().make({"list-defconfigs"});
    for (const char* line : {"\n  gpt2-nano-cpu +GPT-2 nano +learns ",
                             "\n  gpt2-vanilla-baseline +GPT-2 124M +the control",
                             "\n  cpu-linuxdoc-gpt2 +GPT-2 6L/192/6H +the reference"})
        EXPECT_THAT(list.out, testing::ContainsRegex(line));
}

TEST(MisspeltGoal, IsNamedWithTheNearestBeforeAConfigurationIsAskedFor) {
    const Output output;
    for (const std::vector<std::string>& goals :
         {std::vector<std::string>{"quikstart"}, {"build", "quikstart"}, {"-n", "quikstart"}}) {
        const Finished result = output.make(goals);
        EXPECT_EQ(result.status, 2);
        EXPECT_THAT(result.err, HasSubstr("*** quikstart is not a target of this Makefile; did you "
                                          "mean quickstart, "));
        EXPECT_THAT(result.err, Not(HasSubstr("configuration")));
        EXPECT_THAT(names_in(output.path()), IsEmpty());
    }
    // A file is no misspelt target.
    ASSERT_EQ(output.load("").status, 0);
    EXPECT_EQ(output.make({output.file("include/config/auto.conf").string()}).status, 0);
}

TEST(AbsentGoal, SaysWhatIsHereInstead) {
    const Output output;
    for (const auto& [goal, text] :
         {std::pair{"xconfig", "make menuconfig or make nconfig"},
          {"coverage", "there is no coverage build"},
          {"paper-smoke", "the KV bandwidth study is not in this version"}}) {
        const Finished result = output.make({goal});
        EXPECT_EQ(result.status, 2);
        EXPECT_THAT(result.err, HasSubstr(std::string("*** ") + goal + ": "));
        EXPECT_THAT(result.err, HasSubstr(text));
    }
}

TEST(Help, ListsEveryConfigurationTargetAndVariable) {
    const Finished help = Output().make({"help"});
    for (const char* word : {"config",        "menuconfig",      "nconfig",      "oldconfig",
                             "olddefconfig",  "listnewconfig",   "defconfig",    "defconfig-NAME",
                             "savedefconfig", "list-defconfigs", "allnoconfig",  "allyesconfig",
                             "alldefconfig",  "randconfig",      "diffconfig",   "import-defconfig",
                             "check-kconfig", "docs-config",     "kconfig-help", "TIME=",
                             "SET=",          "STRICT="})
        EXPECT_THAT(help.out, HasSubstr(std::string("\n  ") + word + " "));
}

/// Lines of what make would do that name the .config of this output directory or of the tree.
std::vector<std::string> lines_naming_dot_config(const Output& output,
                                                 const std::string& commands) {
    const std::regex name(R"((^|[\s'"=<>])(\./|)" + output.path().string() +
                          R"(/)?\.config(\.\w+)?($|[\s'";)]))");
    std::vector<std::string> lines;
    std::istringstream text(commands);
    // What make announces, such as "  SYNC    .config", is no command.
    for (std::string line; std::getline(text, line);)
        if (!line.starts_with("  ") && std::regex_search(line, name)) lines.push_back(line);
    return lines;
}

TEST(UsersConfiguration, NoCommandOfCheckOrQuickstartChangesIt) {
    const Output output;
    ASSERT_EQ(output.make({"defconfig-smoke-gpt2"}).status, 0);
    const std::string mine = read_text(output.dot_config()) + "# mine\n";
    write_text(output.dot_config(), mine);
    // Under -n the inner makes do not make the configurations that they then look for.
    std::filesystem::create_directories(output.file("build/check"));
    ASSERT_EQ(
        output.make({"O=" + output.file("build/check").string(), "defconfig-gpt2-nano-cpu"}).status,
        0);

    const Finished check = output.make({"-n", "check"});
    EXPECT_EQ(check.status, 0) << check.err;
    EXPECT_THAT(check.out,
                HasSubstr("KCONFIG_CONFIG='" + output.file("build/check/.config").string()));
    EXPECT_THAT(check.out, HasSubstr("scripts/run-tests"));
    EXPECT_THAT(lines_naming_dot_config(output, check.out), IsEmpty());

    const Finished quickstart = output.make({"-n", "quickstart-run"});
    EXPECT_EQ(quickstart.status, 0) << quickstart.err;
    EXPECT_THAT(quickstart.out, HasSubstr(" train --config "));
    // Only where there is none is one made.
    EXPECT_THAT(
        lines_naming_dot_config(output, quickstart.out),
        testing::ElementsAre(StartsWith("[ -e " + output.dot_config().string() + " ] || ")));
    EXPECT_EQ(read_text(output.dot_config()), mine);
}

TEST(Building, WritesNoTargetInPlaceSoThatTwoMakesDoNoHarm) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    const Finished result = output.make({"-n", "test-binaries"});
    ASSERT_EQ(result.status, 0) << result.err;
    // "$$" is the number of the shell that runs the recipe.
    const std::regex written(R"( (?:-o|-MF|>|rcsD) (\S*/build/\S+))");
    int count = 0;
    for (std::sregex_iterator at(result.out.begin(), result.out.end(), written), end; at != end;
         ++at, ++count)
        EXPECT_THAT((*at)[1].str(), HasSubstr("$$"));
    EXPECT_GT(count, 200);
}

TEST(DataTargets, CallTheVerbsOfTheProgram) {
    const Output output;
    ASSERT_EQ(output.load("CONFIG_DATA_DIR=\"my data\"\n").status, 0);
    const auto commands = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "-n");
        return output.make(arguments).out;
    };
    EXPECT_THAT(commands({"data-linuxdoc", "SRC=tree"}),
                HasSubstr("knlp data linuxdoc --src 'tree'"));
    EXPECT_THAT(commands({"data-import", "SRC=a.txt b.txt", "NAME=mine", "FORCE=1"}),
                HasSubstr("knlp data import --name 'mine' --force  a.txt b.txt"));
    EXPECT_THAT(commands({"data-check", "NAME=mine"}), HasSubstr("for meta in 'mine'"));
    EXPECT_THAT(commands({"data-check"}), HasSubstr("for meta in 'my data'/*/meta.json"));
    EXPECT_THAT(commands({"bench", "THREADS=2", "EXTRA_ARGS=step --size nano"}),
                HasSubstr("knlp bench --threads '2' step --size nano"));
    EXPECT_EQ(commands({"deps-check"}), commands({"doctor"}));
    EXPECT_THAT(commands({"data-import"}), HasSubstr("make data-import SRC=FILES NAME=NAME"));
}

TEST(OutputDirectory, CommandsThatReadTheConfigurationReadTheOneThere) {
    const Output output;
    const std::filesystem::path program = output.file("knlp");
    write_text(program, "#!/bin/sh\n[ \"$1\" = --version ] || echo \"$1 with $KCONFIG_CONFIG\"\n");
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    const auto said = [&](const std::string& goal) {
        const Finished result = run_program(
            {"make", "O=" + output.path().string(), goal},
            {{"MAKEFLAGS", ""}, {"MAKELEVEL", ""}, {"KCONFIG_CONFIG", ""}}, source_tree());
        EXPECT_EQ(result.status, 0) << result.err;
        return result.out;
    };
    // Without a configuration there these go by the defaults.
    EXPECT_EQ(said("report"), "report with \n");
    write_text(output.dot_config(), "");
    for (const auto& [goal, verb] : std::map<std::string, std::string>{
             {"continue", "train"}, {"report", "report"}, {"doctor", "doctor"}})
        EXPECT_EQ(said(goal), verb + " with " + output.dot_config().string() + "\n");
}

TEST(DataClean, WithoutAnAnswerRemovesNothingAndSaysHow) {
    const Output output;
    const Finished dry = output.make({"-n", "data-clean"});
    ASSERT_EQ(dry.status, 0);
    // The command itself, where the data directory is the test's own.
    std::filesystem::create_directories(output.file("data"));
    write_text(output.file("clean"), dry.out);
    const Finished refused =
        run_program({"/bin/sh", output.file("clean").string()}, {}, output.path());
    EXPECT_EQ(refused.status, 1);
    EXPECT_THAT(refused.err, HasSubstr("data/ not removed; YES=1 removes it without asking"));
    EXPECT_TRUE(std::filesystem::exists(output.file("data")));
    write_text(output.file("clean"), output.make({"-n", "data-clean", "YES=1"}).out);
    EXPECT_EQ(run_program({"/bin/sh", output.file("clean").string()}, {}, output.path()).status, 0);
    EXPECT_FALSE(std::filesystem::exists(output.file("data")));
}

TEST(Defconfig, LoadsAndSaysWhat) {
    const Output output;
    const Finished result = output.make({"defconfig-gpt2-nano-cpu"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr(".config is now gpt2-nano-cpu: "));
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_GPT2_MODEL_NANO=y\n"));

    const Finished plain = output.make({"defconfig"});
    EXPECT_EQ(plain.status, 0) << plain.err;
    EXPECT_THAT(plain.err, HasSubstr("taking gpt2-vanilla-baseline"));
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_GPT2_MAX_TIME=21600\n"));
    EXPECT_EQ(output.make({"defconfig", "DEFCONFIG=smoke-gpt2"}).status, 0);
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_GPT2_MAX_ITERS=40\n"));
    // For the manifest of a run, as defconfig-NAME writes it.
    const std::string preset = read_text(output.file("include/config/preset"));
    EXPECT_EQ(output.make({"defconfig-smoke-gpt2"}).status, 0);
    EXPECT_EQ(preset, read_text(output.file("include/config/preset")));
    EXPECT_THAT(preset, testing::EndsWith(" smoke-gpt2\n"));
}

TEST(Defconfig, RetiredOneSaysWhyAndWhatToTake) {
    const Output output;
    const Finished result = output.make({"defconfig-gpt2-mechint-kv-analysis"});
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err,
                HasSubstr("retired: mechanistic interpretability is not carried; nearest preset: "
                          "make defconfig-gpt2-vanilla-baseline"));
    EXPECT_THAT(names_in(output.path()), IsEmpty());
}

TEST(Defconfig, UnknownOneSuggestsNames) {
    const Output output;
    for (const char* name : {"gpt2-nano", "RETIRED", "../Makefile"}) {
        const Finished result = output.tool("kconfcheck.py", {"preset", name});
        EXPECT_EQ(result.status, 2);
        EXPECT_THAT(result.err, HasSubstr("no such preset; did you mean "));
    }
    EXPECT_THAT(names_in(output.path()), IsEmpty());
}

TEST(Goals, ConfigurationTargetsGoAlone) {
    const Output output;
    const Finished result = output.make({"defconfig-gpt2-nano-cpu", "build"});
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err, HasSubstr("run: make defconfig-gpt2-nano-cpu && make build"));
    EXPECT_THAT(names_in(output.path()), IsEmpty());
}

TEST(Editors, NeedATerminal) {
    const Output output;
    for (const char* target : {"menuconfig", "nconfig"}) {
        const Finished result = output.make({target});
        EXPECT_EQ(result.status, 2);
        EXPECT_THAT(result.err,
                    HasSubstr(std::string(target) + " needs a terminal; use make defconfig-NAME or "
                                                    "make olddefconfig"));
    }
    EXPECT_THAT(names_in(output.path()), IsEmpty());
}

/// make menuconfig with these keys typed at a pseudo-terminal.
Finished drive(const Output& output, const std::string& keys) {
    return run_program(
        {"/usr/bin/python3", "-B", (source_tree() / "tests/kconfig/drive_menuconfig.py").string(),
         keys, "make", "O=" + output.path().string(), "menuconfig"},
        {{"MAKEFLAGS", ""}, {"MAKELEVEL", ""}}, source_tree());
}

TEST(Editors, MenuconfigChangesAValueAndSaves) {
    KNLP_NEEDS_TERMINAL();
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    // General, Random seed: 1 becomes 17; leave both menus; save.
    const Finished result = drive(output, "\\n\\d\\n7\\n\\e\\e\\n");
    EXPECT_EQ(result.status, 0) << result.out;
    EXPECT_THAT(result.out, HasSubstr(".config saved"));
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_SEED=17\n"));
    EXPECT_THAT(read_text(output.file(".config.old")), HasSubstr("\nCONFIG_SEED=1\n"));
}

TEST(Editors, MenuconfigRefusesAStringThatIsNoNumberAndKeepsItAside) {
    KNLP_NEEDS_TERMINAL();
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    const std::string before = read_text(output.dot_config());
    // Training, Learning rate, Highest learning rate: "6e-4" becomes "6e-4x".
    const Finished result = drive(output, "\\d\\d\\d\\n\\d\\n\\nx\\n\\e\\e\\e\\n");
    EXPECT_EQ(result.status, 2) << result.out;
    EXPECT_THAT(result.out, HasSubstr("CONFIG_LEARNING_RATE=\"6e-4x\" is not a number"));
    EXPECT_EQ(read_text(output.dot_config()), before);
    EXPECT_THAT(read_text(output.file(".config.rejected")), HasSubstr("\"6e-4x\""));
}

TEST(Targets, NameThePackageOfAMissingProgram) {
    const Output output;
    std::filesystem::create_directory(output.file("bin"));
    const Finished result = output.tool("kconfcheck.py", {"preset", "gpt2-nano-cpu"},
                                        {{"PATH", output.file("bin").string()}});
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err,
                HasSubstr("kconfig-frontends not found: apt install kconfig-frontends"));
}

TEST(Targets, MakeWholeConfigurations) {
    const Output output;
    for (const char* target :
         {"allnoconfig", "allyesconfig", "alldefconfig", "randconfig", "olddefconfig"}) {
        const Finished result = output.tool("configure.py", {target});
        EXPECT_EQ(result.status, 0) << target << ": " << result.err;
        EXPECT_EQ(output.tool("kconfcheck.py", {"check"}).err, "") << target;
    }
    ASSERT_EQ(output.tool("configure.py", {"allyesconfig"}).status, 0);
    EXPECT_THAT(read_text(output.dot_config()), Not(HasSubstr("CONFIG_USE_CUDA=y")));
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_SANITIZE_NONE=y\n"));
}

TEST(Targets, HoldAllconfigValuesAsStrictlyAsAPreset) {
    const Output output;
    write_text(output.file("keep"), "CONFIG_SEED=99\n");
    const std::map<std::string, std::string> keep = {
        {"KCONFIG_ALLCONFIG", output.file("keep").string()}};
    EXPECT_EQ(output.tool("configure.py", {"allyesconfig"}, keep).status, 0);
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_SEED=99\n"));
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_LTO=y\n"));
    write_text(output.file("keep"), "CONFIG_SEEED=99\n");
    const Finished refused = output.tool("configure.py", {"allnoconfig"}, keep);
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, HasSubstr("keep:1: CONFIG_SEEED"));
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_LTO=y\n"));
}

TEST(Targets, RandconfigWithASeedRepeats) {
    const Output first, second;
    ASSERT_EQ(first.tool("configure.py", {"randconfig"}, {{"KCONFIG_SEED", "0x5"}}).status, 0);
    ASSERT_EQ(second.tool("configure.py", {"randconfig"}, {{"KCONFIG_SEED", "0x5"}}).status, 0);
    EXPECT_EQ(read_text(first.dot_config()), read_text(second.dot_config()));
}

TEST(Targets, OldconfigTakesAnswersFromAPipe) {
    const Output output;
    write_text(output.dot_config(), "CONFIG_SEED=5\n");
    const Finished result =
        run_program({"sh", "-c", "yes '' | make O=" + output.path().string() + " oldconfig"},
                    {{"MAKEFLAGS", ""}, {"MAKELEVEL", ""}}, source_tree());
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_SEED=5\n"));
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_GPT2_BLOCK_SIZE=1024\n"));
}

TEST(Targets, ListnewconfigNamesWhatTheFileLacks) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    std::string text = read_text(output.dot_config());
    const std::string line = "CONFIG_MAX_BAD_STEPS=10\n";
    ASSERT_NE(text.find(line), std::string::npos);
    write_text(output.dot_config(), text.erase(text.find(line), line.size()));
    const Finished result = output.tool("configure.py", {"listnewconfig"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, line);
}

TEST(LibTorch, OtherThanTheSupportedReleasesAreRefusedUnlessAskedFor) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    write_text(output.file("torch/version.py"), "__version__ = '2.10.0+cpu'\n");
    const std::string given = "TORCH_DIR=" + output.file("torch").string();
    const Finished refused = output.make({given, "check-torch"});
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err,
                HasSubstr("LibTorch 2.10.0+cpu found at " + output.file("torch").string() +
                          ", 2.11 to 2.15 wanted (TORCH_VERSION_OK=y to try)"));
    EXPECT_THAT(refused.err, HasSubstr("Error 5"));
    EXPECT_EQ(output.make({given, "TORCH_VERSION_OK=y", "check-torch"}).status, 0);
    std::filesystem::remove(output.file("torch/version.py"));
    EXPECT_THAT(output.make({given, "check-torch"}).err, HasSubstr("version.py is missing there"));
}
TEST(LibTorch, GivenEmptyIsSearchedForAndARelativePathBecomesAbsolute) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    // What is found is named in the refusal; the user's cache directory comes first.
    const std::string cached = output.file("cache/knlp/libtorch-2.9.0/torch").string();
    write_text(cached + "/version.py", "__version__ = '2.9.0'\n");
    const Finished searched = run_program(
        {"make", "O=" + output.path().string(), "TORCH_DIR=", "TORCH_VERSION=2.9.0", "check-torch"},
        {{"MAKEFLAGS", ""}, {"MAKELEVEL", ""}, {"XDG_CACHE_HOME", output.file("cache").string()}},
        source_tree());
    EXPECT_THAT(searched.err, HasSubstr("LibTorch 2.9.0 found at " + cached));
    EXPECT_THAT(output.make({"TORCH_DIR=nowhere", "check-torch"}).err,
                HasSubstr("no LibTorch at TORCH_DIR=" + (source_tree() / "nowhere").string()));
}
TEST(Mrproper, RemovesWhatConfigurationMadeAndNothingElse) {
    const Output output;
    ASSERT_EQ(output.load("CONFIG_SEED=5\n").status, 0);
    ASSERT_EQ(output.load("CONFIG_SEED=6\n").status, 0);
    ASSERT_EQ(output.tool("sync.py", {output.dot_config().string(), output.path().string()}).status,
              0);
    const std::vector<std::string> mine = {".config.mine", "data",       "fragment", "include",
                                           "metrics.json", "mine.patch", "results"};
    for (const char* name : {".config.mine", "data/train.bin", "include/mine.h", "metrics.json",
                             "mine.patch", "results/runs/a/status.json"})
        write_text(output.file(name), "mine");
    const Finished result = output.make({"mrproper"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(names_in(output.path()), mine);
    EXPECT_EQ(names_in(output.file("include")), std::vector<std::string>{"mine.h"});
    EXPECT_EQ(read_text(output.file("results/runs/a/status.json")), "mine");
}

TEST(Sync, SeesAConfigurationMovedIntoPlaceWithAnOldTime) {
    const Output output;
    ASSERT_EQ(output.load("CONFIG_SEED=5\n").status, 0);
    const std::filesystem::path other = output.file("other");
    std::filesystem::copy_file(output.dot_config(), other);
    ASSERT_EQ(output.load("CONFIG_SEED=6\n").status, 0);
    const std::string auto_conf = output.file("include/config/auto.conf").string();
    ASSERT_EQ(output.make({auto_conf}).status, 0);
    EXPECT_THAT(read_text(auto_conf), HasSubstr("\nCONFIG_SEED=6\n"));

    std::filesystem::last_write_time(
        other, std::filesystem::file_time_type::clock::now() - std::chrono::hours(24));
    std::filesystem::rename(other, output.dot_config());
    ASSERT_EQ(output.make({auto_conf}).status, 0);
    EXPECT_THAT(read_text(auto_conf), HasSubstr("\nCONFIG_SEED=5\n"));
    EXPECT_THAT(output.make({auto_conf}).out, Not(HasSubstr("SYNC")));
}

}  // namespace
}  // namespace knlp::test
