#include "knlp/config/build_info.h"
#include "knlp/config/schema.h"
#include "knlp/core/file.h"

#include "tests/cli/cli_test.h"

namespace knlp::test {
namespace {

using testing::HasSubstr;

class ConfigVerb : public CliTest {};

TEST_F(ConfigVerb, ListWorksWithoutAConfiguration) {
    const Finished done = knlp({"config", "list", "GPT2_N_*"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("GPT2_N_LAYER"));
    EXPECT_THAT(done.out, testing::Not(HasSubstr("LEARNING_RATE")));
    expect_failure({"config", "list", "LEARNING_RAET"}, 2, "E_USAGE", {"LEARNING_RATE"});
}

TEST_F(ConfigVerb, ListAsJsonHasEverySymbolWithAPrompt) {
    write_config({{"SEED", "11"}});
    const nlohmann::json rows = nlohmann::json::parse(knlp({"config", "list", "--json"}).out);
    size_t prompts = 0;
    for (const config::SymbolInfo& symbol : config::symbols()) prompts += !symbol.prompt.empty();
    EXPECT_EQ(rows.size(), prompts);
    for (const nlohmann::json& row : rows) {
        if (row["name"] != "SEED") continue;
        EXPECT_EQ(row["value"], "11");
        EXPECT_EQ(row["origin"], "dotconfig");
        EXPECT_EQ(row["time"], "run");
    }
}

TEST_F(ConfigVerb, ExplainTellsAllAboutASymbol) {
    write_config({{"LEARNING_RATE", "1e-3"}});
    const Finished done = knlp({"config", "explain", "CONFIG_LEARNING_RATE"});
    EXPECT_EQ(done.status, 0) << done.err;
    for (const char* part : {"1e-3 (origin: dotconfig)", "float(0,100]", "6e-4",
                             "Training > Learning rate", "when knlp runs", "src/train/Kconfig:"})
        EXPECT_THAT(done.out, HasSubstr(part));
    const nlohmann::json value =
        nlohmann::json::parse(knlp({"config", "explain", "SEED", "--json"}).out);
    EXPECT_EQ(value["range"][0]["high"], "2147483647");
    EXPECT_EQ(value["default"][0]["value"], "1");
    EXPECT_FALSE(value["help"].get<std::string>().empty());
}

TEST_F(ConfigVerb, CheckAnswersWithStatusAndLine) {
    write_config();
    EXPECT_EQ(knlp({"config", "check"}).status, 0);
    write_config({{"SEED", "5"}}, "other");
    EXPECT_THAT(knlp({"config", "check", "other"}).out, HasSubstr("other: in order"));
    write("broken", "CONFIG_SEED=1\nCONFIG_SEDE=2\n");
    expect_failure({"config", "check", "broken"}, 2, "E_UNKNOWN_SYMBOL",
                   {"broken:2", "CONFIG_SEDE", "SEED"});
    expect_failure({"config", "check", "absent"}, 2, "E_NO_CONFIG", {"absent"});
}

TEST_F(ConfigVerb, EnvironmentNamesTheFile) {
    write_config({{"SEED", "77"}}, "elsewhere");
    const Finished done = knlp({"config", "explain", "SEED"}, {{"KCONFIG_CONFIG", "elsewhere"}});
    EXPECT_THAT(done.out, HasSubstr("77 (origin: dotconfig)"));
}

TEST_F(ConfigVerb, DiffTellsWhatDiffersAndByStatusWhether) {
    write_config({{"SEED", "5"}}, "a");
    write_config({{"SEED", "6"}, {"GPT2_MODEL_NANO", "y"}}, "b");
    const Finished done = knlp({"config", "diff", "a", "b"});
    EXPECT_EQ(done.status, 1) << done.err;
    EXPECT_THAT(done.out, HasSubstr("5 -> 6"));
    EXPECT_THAT(done.out, HasSubstr("GPT2_BLOCK_SIZE"));
    const Finished same = knlp({"config", "diff", "a", "a", "--json"});
    EXPECT_EQ(same.status, 0);
    EXPECT_EQ(same.out, "[]\n");
}

TEST_F(ConfigVerb, EmbeddedPrintsBuildSymbolsOnly) {
    EXPECT_EQ(knlp({"config", "embedded"}).out, config::embedded_build_config());
    const nlohmann::json value = nlohmann::json::parse(knlp({"config", "embedded", "--json"}).out);
    EXPECT_EQ(value["MODEL_GPT2"], "y");
    EXPECT_FALSE(value.contains("SEED"));
}

TEST_F(ConfigVerb, ExportedDefconfigIsMinimalAndWrittenWhole) {
    write_config({{"SEED", "5"}, {"LEARNING_RATE", "1e-3"}});
    const Finished done = knlp({"config", "export-defconfig", "--out", "mine"});
    EXPECT_EQ(done.status, 0) << done.err;
    std::ifstream file(dir_.file("mine"));
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    EXPECT_THAT(text, HasSubstr("CONFIG_SEED=5\n"));
    EXPECT_THAT(text, HasSubstr("CONFIG_LEARNING_RATE=\"1e-3\"\n"));
    EXPECT_THAT(text, testing::Not(HasSubstr("GPT2_BLOCK_SIZE")));
    EXPECT_EQ(knlp({"config", "export-defconfig"}).out, text);
    expect_failure({"config", "export-defconfig", "--out", "no/such/place"}, 4, "E_IO",
                   {"no/such/place"});
}

TEST_F(ConfigVerb, OutTakesWhatWouldBePrinted) {
    const std::string printed = knlp({"config", "list", "SEED"}).out;
    const Finished done = knlp({"config", "list", "SEED", "--out", "list.txt"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_EQ(done.out, "");
    EXPECT_EQ(read_file(dir_.file("list.txt")), printed);
    knlp({"config", "list", "SEED", "--out", "dry.txt", "--dry-run"});
    expect_failure({"config", "explain", "NOPE", "--out", "nope.txt"}, 2, "E_UNKNOWN_SYMBOL",
                   {"NOPE"});
    EXPECT_EQ(files(), std::vector<std::string>{"list.txt"});
}

TEST_F(ConfigVerb, DirectoryOfARunIsAConfiguration) {
    std::filesystem::create_directory(dir_.file("run"));
    write_config({{"SEED", "31"}}, "run/config");
    EXPECT_THAT(knlp({"config", "explain", "SEED", "--config", "run"}).out,
                HasSubstr("31 (origin: dotconfig)"));
}

}  // namespace
}  // namespace knlp::test
