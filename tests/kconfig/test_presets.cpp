// Presets, translated upstream names, saving and comparing; and the two engines against each other.
#include "tests/kconfig/tools.h"

#include <string>
#include <vector>

namespace knlp::test {
namespace {

using testing::HasSubstr;

std::vector<std::string> presets() {
    std::vector<std::string> names = names_in(source_tree() / "defconfigs");
    names.erase(std::find(names.begin(), names.end(), "RETIRED"));
    return names;
}

Finished script(const std::string& name, std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(),
                     {"/usr/bin/python3", "-B", (source_tree() / "tests/kconfig" / name).string()});
    return run_program(arguments, {{"KNLP_HAVE_CUDA", "n"}}, source_tree());
}

TEST(Presets, LoadWithoutAWarningAndRoundTrip) {
    for (const std::string& name : presets()) {
        const Output output;
        const Finished loaded = output.tool("kconfcheck.py", {"preset", name});
        EXPECT_EQ(loaded.status, 0) << name;
        EXPECT_EQ(loaded.err, "") << name;
        const std::string first = read_text(output.dot_config());
        ASSERT_EQ(output.tool("defconfig.py", {"save", output.file("saved").string()}).status, 0)
            << name;
        ASSERT_EQ(output.tool("kconfcheck.py", {"load", output.file("saved").string()}).status, 0)
            << name;
        EXPECT_EQ(read_text(output.dot_config()), first) << name;
    }
}

TEST(Presets, PassTheRulesOfTheBinary) {
    const char* knlp = std::getenv("KNLP_BIN");
    if (knlp == nullptr) GTEST_SKIP() << "KNLP_BIN names no knlp (make test sets it)";
    for (const std::string& name : presets()) {
        const Output output;
        ASSERT_EQ(output.tool("kconfcheck.py", {"preset", name}).status, 0) << name;
        const Finished result =
            run_program({knlp, "config", "check", output.dot_config().string()});
        EXPECT_EQ(result.status, 0) << name << ": " << result.err;
    }
}

TEST(Presets, QuickstartTrainsWhatTheDocumentationSays) {
    const Output output;
    ASSERT_EQ(output.tool("kconfcheck.py", {"preset", "gpt2-nano-cpu"}).status, 0);
    const std::string text = read_text(output.dot_config());
    for (const char* line :
         {"CONFIG_GPT2_MODEL_NANO=y", "CONFIG_GPT2_TOKENIZER_BYTE=y", "CONFIG_BATCH_SIZE=16",
          "CONFIG_GPT2_BLOCK_SIZE=128", "CONFIG_GRADIENT_ACCUMULATION=1",
          "CONFIG_LEARNING_RATE=\"3e-3\"", "CONFIG_GPT2_MIN_LR=\"1e-4\"",
          "CONFIG_GPT2_WARMUP_STEPS=50", "CONFIG_GPT2_MAX_ITERS=2000",
          "CONFIG_GPT2_DROPOUT=\"0.0\"", "# CONFIG_MIXED_PRECISION is not set",
          "CONFIG_OPTIMIZER_SELECT_ADAMW=y", "CONFIG_ADAM_BETA1=\"0.9\"",
          "CONFIG_ADAM_BETA2=\"0.99\"", "CONFIG_GPT2_DATASET_LINUXDOC=y",
          "CONFIG_GPT2_VOCAB_SIZE=0"})
        EXPECT_THAT(text, HasSubstr(std::string("\n") + line + "\n"));
}

TEST(Presets, VanillaBaselineIsThePublishedConfiguration) {
    const Output output;
    ASSERT_EQ(output.tool("kconfcheck.py", {"preset", "gpt2-vanilla-baseline"}).status, 0);
    const std::string text = read_text(output.dot_config());
    for (const char* line : {"CONFIG_GPT2_MODEL_124M=y",
                             "CONFIG_GPT2_DATASET_FINEWEBEDU=y",
                             "CONFIG_GPT2_TOKENIZER_GPT2=y",
                             "CONFIG_DATA_SUBSTITUTE=y",
                             "CONFIG_GPT2_VOCAB_SIZE=50257",
                             "CONFIG_GPT2_BPE_VOCAB=8192",
                             "CONFIG_GPT2_BLOCK_SIZE=1024",
                             "CONFIG_GPT2_MAX_TIME=21600",
                             "CONFIG_LEARNING_RATE=\"6e-4\"",
                             "CONFIG_GPT2_MIN_LR=\"6e-5\"",
                             "CONFIG_GPT2_WARMUP_STEPS=2000",
                             "CONFIG_WEIGHT_DECAY=\"0.1\"",
                             "CONFIG_GPT2_DROPOUT=\"0.1\"",
                             "CONFIG_GPT2_AMP_DTYPE=\"bfloat16\"",
                             "CONFIG_GPT2_EVAL_INTERVAL=500",
                             "CONFIG_HYPER_PARAM_AUTO=y",
                             "CONFIG_TARGET_EFFECTIVE_BATCH=256",
                             "CONFIG_CHECKPOINT_INTERVAL=1000",
                             "CONFIG_OPTIMIZER_SELECT_ADAMWSPAM=y",
                             "CONFIG_SPAM_MODE_KNLP=y",
                             "CONFIG_SPAM_THETA=\"50\"",
                             "CONFIG_SPAM_SPIKE_THRESHOLD=\"2.0\"",
                             "CONFIG_SPAM_INTERVAL=1000",
                             "CONFIG_SPAM_WARMUP_STEPS=1000",
                             "CONFIG_SPAM_AMSGRAD=y",
                             "CONFIG_SPAM_ZSCORE=y",
                             "CONFIG_ADAM_BETA2=\"0.999\""})
        EXPECT_THAT(text, HasSubstr(std::string("\n") + line + "\n"));
}

TEST(Aliases, EveryRowHasAFixtureThatComesOutAsItSays) {
    const Finished result = script("check_aliases.py");
    EXPECT_EQ(result.status, 0) << result.out << result.err;
}

TEST(Aliases, UpstreamTextOfTheControlImportsToOurPreset) {
    const Output output;
    const std::string from = (source_tree() / "tests/kconfig/fixtures/upstream-vanilla").string();
    const Finished result =
        output.tool("defconfig.py", {"import", from, output.file("imported").string()});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(result.err,
                HasSubstr("CONFIG_GPT2_EVAL_SAMPLES=200 is now CONFIG_GPT2_EVAL_TOKENS=204800"));
    EXPECT_THAT(result.err, testing::Not(HasSubstr("error")));
    const auto symbols = [](const std::string& text) { return text.substr(text.find('\n')); };
    std::string imported = symbols(read_text(output.file("imported")));
    // Where it is shown is the user's choice, and no part of the control.
    for (const std::string shown :
         {"CONFIG_ENABLE_TRACKIO=y\n", "CONFIG_TRACKER_PROJECT=\"demo\"\n"}) {
        ASSERT_THAT(imported, HasSubstr(shown));
        imported.erase(imported.find(shown), shown.size());
    }
    EXPECT_EQ(imported, symbols(read_text(source_tree() / "defconfigs/gpt2-vanilla-baseline")));
}
TEST(Aliases, ImportOfAFileThatIsNotThereIsWrongUsage) {
    const Output output;
    const Finished result = output.tool("defconfig.py", {"import", output.file("absent").string(),
                                                         output.file("imported").string()});
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err, HasSubstr("absent: no such file"));
    EXPECT_FALSE(std::filesystem::exists(output.file("imported")));
}

TEST(Savedefconfig, KeepsThePurposeAndOverwritesOnlyWhenForced) {
    const Output output;
    ASSERT_EQ(output.load("CONFIG_SEED=5\n").status, 0);
    const std::string path = output.file("preset").string();
    write_text(path, "# what it is for\n# and more\nCONFIG_SEED=1\n");
    const Finished refused = output.tool("defconfig.py", {"save", path});
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, HasSubstr("exists; FORCE=1 overwrites it"));
    EXPECT_EQ(output.tool("defconfig.py", {"save", path}, {{"FORCE", "1"}}).status, 0);
    EXPECT_EQ(read_text(path), "# what it is for\n# and more\nCONFIG_SEED=5\n");
}

TEST(Savedefconfig, AsksForAPurposeWhereThereIsNone) {
    const Output output;
    ASSERT_EQ(output.load("CONFIG_SEED=5\n").status, 0);
    const Finished result = output.make({"savedefconfig"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("its first line is for you to write"));
    EXPECT_THAT(read_text(output.file("defconfig")), testing::EndsWith("\nCONFIG_SEED=5\n"));
}

TEST(Diffconfig, ShowsWhatChangesBetweenPresetsAndFiles) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    ASSERT_EQ(output.load("CONFIG_SEED=5\nCONFIG_MIXED_PRECISION=y\n").status, 0);
    const Finished result = output.make({"diffconfig"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, " SEED 1 -> 5\n MIXED_PRECISION n -> y\n+GPT2_AMP_DTYPE \"bfloat16\"\n");
    const Finished missing = output.make({"diffconfig", "A=" + output.file("nothing").string()});
    EXPECT_EQ(missing.status, 2);
    EXPECT_THAT(missing.err, HasSubstr("no such file"));
}

TEST(RandomConfigurations, BothEnginesAgreeAndTheStrictCheckTakesThem) {
    const Finished result = script("check_random_configs.py", {"50"});
    EXPECT_EQ(result.status, 0) << result.out << result.err;
}

TEST(RandomConfigurationsSlow, TwoHundredAgree) {
    const Finished result = script("check_random_configs.py", {"200"});
    EXPECT_EQ(result.status, 0) << result.out << result.err;
}

}  // namespace
}  // namespace knlp::test
