#include "tests/cli/cli_test.h"

namespace knlp::test {
namespace {

using testing::HasSubstr;

class Usage : public CliTest {};

TEST_F(Usage, HelpIsOnStdoutAndGrouped) {
    const Finished top = knlp({"--help"});
    EXPECT_EQ(top.status, 0);
    EXPECT_EQ(top.err, "");
    for (const char* part : {"Commands:", "config", "doctor", "train", "--version"})
        EXPECT_THAT(top.out, HasSubstr(part));
}

TEST_F(Usage, EveryVerbHasHelpWithOptionsAndExitStatuses) {
    EXPECT_GE(verbs().size(), 11u);
    for (const std::string& verb : verbs()) {
        const Finished done = knlp({verb, "--help"});
        EXPECT_EQ(done.status, 0) << verb << done.err;
        for (const char* part : {"Usage: knlp", "Common options:", "--set NAME=VALUE", "--json",
                                 "Examples:", "Exit status:", "130"})
            EXPECT_THAT(done.out, HasSubstr(part)) << verb;
    }
}

/// The least that makes a command of a verb.
std::vector<std::string> shortest(const std::string& verb) {
    static const std::map<std::string, std::string> subcommands = {{"bench", "step"},
                                                                   {"completion", "bash"},
                                                                   {"config", "list"},
                                                                   {"data", "list"},
                                                                   {"matrix", "power"}};
    const auto found = subcommands.find(verb);
    return found == subcommands.end() ? std::vector<std::string>{verb}
                                      : std::vector<std::string>{verb, found->second};
}

std::vector<std::string> operator+(std::vector<std::string> words,
                                   const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

TEST_F(Usage, EveryVerbRefusesOverridesThatAreNone) {
    for (const std::string& verb : verbs())
        expect_failure(shortest(verb) + std::vector<std::string>{"--set", "LEARNIG_RATE=1"}, 2,
                       "E_UNKNOWN_SYMBOL", {"--set", "LEARNING_RATE"});
    for (const std::string verb : {"man", "eval"}) {
        expect_failure({verb, "--set", "SEED=many"}, 2, "E_TYPE", {"SEED=many"});
        expect_failure({verb}, 2, "E_UNKNOWN_SYMBOL", {"KNLP_SET", "LEARNING_RATE"},
                       {{"KNLP_SET", "LEARNIG_RATE=1"}});
    }
}

TEST_F(Usage, VerbsThatDoNotGoByASymbolRefuseToSetIt) {
    for (const std::string verb : {"eval", "generate", "convert", "report"})
        expect_failure(
            shortest(verb) + std::vector<std::string>{"--set", "LEARNING_RATE=1e-3"}, 2, "E_USAGE",
            {"LEARNING_RATE", "knlp " + verb + " goes by no symbol but OUTPUT_DIR and LOG_LEVEL"});
    for (const std::string verb : {"completion", "man"})
        expect_failure(shortest(verb) + std::vector<std::string>{"--set", "OUTPUT_DIR=x"}, 2,
                       "E_USAGE", {"knlp " + verb + " goes by no symbol;"});
    expect_failure({"data", "list", "--set", "SEED=5"}, 2, "E_USAGE", {"DATA_DIR"});
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"eval"}, {"generate"}, {"convert", "--list"}})
        expect_failure(words + std::vector<std::string>{"--model", "m", "--set", "OUTPUT_DIR=x"}, 2,
                       "E_USAGE", {"OUTPUT_DIR", "m is named"});
}

TEST_F(Usage, VerbsThatDrawNothingRefuseASeed) {
    for (const std::string verb : {"eval", "convert", "report", "man"})
        expect_failure(shortest(verb) + std::vector<std::string>{"--seed", "7"}, 2, "E_USAGE",
                       {"--seed", "knlp " + verb + " draws no random numbers"});
    expect_failure({"data", "--seed", "7", "list"}, 2, "E_USAGE", {"--seed", "knlp data"});
    EXPECT_EQ(knlp({"data", "synth", "--tokens", "1000", "--seed", "7", "--out", "drawn"}).status,
              0);
}

TEST_F(Usage, SymbolsAVerbGoesByAreHeededWithoutAConfiguration) {
    EXPECT_THAT(knlp({"report", "list", "--set", "OUTPUT_DIR=elsewhere"}).out,
                HasSubstr("no runs in elsewhere"));
    EXPECT_THAT(knlp({"eval", "--set", "OUTPUT_DIR=elsewhere"}).err, HasSubstr("elsewhere"));
    EXPECT_EQ(knlp({"data", "synth", "--tokens", "1000", "--set", "DATA_DIR=elsewhere"}).status, 0);
    EXPECT_TRUE(std::filesystem::exists(dir_.file("elsewhere/synthetic-markov")));
}

TEST_F(Usage, DryRunOfEveryVerbWritesNothing) {
    for (const std::string& verb : verbs()) {
        knlp(shortest(verb) + std::vector<std::string>{"--dry-run", "--out", "result"});
        EXPECT_TRUE(files().empty()) << verb;
    }
    const Finished bench =
        knlp({"bench", "step", "--size", "nano", "--dry-run", "--out", "result"});
    EXPECT_EQ(bench.status, 0) << bench.err;
    EXPECT_EQ(bench.out, "");
    EXPECT_THAT(bench.err, HasSubstr("would measure step"));
    EXPECT_TRUE(files().empty());
}

TEST_F(Usage, NothingAskedIsWrongUsage) {
    expect_failure({}, 2, "E_USAGE", {"no command given", "knlp --help"});
}

TEST_F(Usage, UnknownWordsAreAnsweredWithTheNearest) {
    expect_failure({"trian"}, 2, "E_USAGE", {"unknown command trian", "did you mean train?"});
    expect_failure({"config", "lst"}, 2, "E_USAGE",
                   {"unknown subcommand lst", "did you mean list?"});
    expect_failure({"config", "list", "--jsn"}, 2, "E_USAGE",
                   {"unknown option --jsn", "did you mean --json?"});
    expect_failure({"doctor", "--st=SEED=1"}, 2, "E_USAGE", {"unknown option --st", "--set"});
}

TEST_F(Usage, MissingAndSuperfluousArgumentsAreNamed) {
    expect_failure({"config", "explain"}, 2, "E_USAGE",
                   {"knlp config explain", "symbol is required"});
    expect_failure({"config", "explain", "SEED", "LTO"}, 2, "E_USAGE",
                   {"unexpected argument 'LTO'"});
    expect_failure({"config"}, 2, "E_USAGE", {"knlp config", "subcommand"});
    expect_failure({"completion", "fish"}, 2, "E_USAGE", {"fish", "bash"});
}

TEST_F(Usage, TrainWithoutConfigurationEndsAtOnceAndWritesNothing) {
    expect_failure({"train"}, 2, "E_NO_CONFIG", {".config", "make menuconfig", "defconfig-NAME"});
    EXPECT_TRUE(files().empty());
}

TEST_F(Usage, ListingRunsMakesNoDirectory) {
    const Finished done = knlp({"report", "list"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, testing::HasSubstr("no runs in results"));
    EXPECT_TRUE(files().empty());
}

TEST_F(Usage, EveryBenchmarkRefusesUnknownSymbolsBeforeItMeasures) {
    for (const char* what :
         {"machine", "step", "train", "data", "load", "checkpoint", "tokenizer", "bandwidth"})
        expect_failure({"bench", what, "--set", "LEARNIG_RATE=1"}, 2, "E_UNKNOWN_SYMBOL",
                       {"LEARNING_RATE"});
}

TEST_F(Usage, BenchmarksRefuseOptionsThatTheyWouldNotObey) {
    for (const auto& [what, option] :
         std::vector<std::pair<std::string, std::string>>{{"decode", "--precision"},
                                                          {"decode", "--prompt"},
                                                          {"decode", "--chunk"},
                                                          {"prefill", "--context"},
                                                          {"data", "--gemm"},
                                                          {"load", "--batch"},
                                                          {"bandwidth", "--size"},
                                                          {"machine", "--device"}})
        expect_failure({"bench", what, option, "1"}, 2, "E_USAGE", {"unknown option " + option});
}

TEST_F(Usage, FewSamplesAreRaisedToSevenAndSaidSo) {
    // Without a request on its standard input the server ends at once.
    const std::vector<std::string> serve = {"--size", "nano", "--batch", "1", "--gemm", "aten"};
    std::vector<std::string> few = {"bench", "--samples", "6", "serve"};
    few.insert(few.end(), serve.begin(), serve.end());
    EXPECT_THAT(knlp(few).err, HasSubstr("--samples 6: a median of so few says little; 7 are"));
    few[2] = "7";
    EXPECT_THAT(knlp(few).err, testing::Not(HasSubstr("--samples")));
}

TEST_F(Usage, BenchmarksThatDoNotFitIntoMemoryNameTheirLargestTermsAndTheBatchThatFits) {
    const std::vector<std::pair<std::string, std::string>> first_terms = {
        {"step", "activations of 1048576 x 1024 tokens"},
        {"serve", "activations of 1048576 x 1024 tokens"},
        {"decode", "keys and values of 1048577 x 1024 tokens"},
        {"prefill", "keys and values of 1048576 x 1024 tokens"}};
    for (const auto& [what, term] : first_terms)
        expect_failure({"bench", what, "--size", "124M", "--batch", "1048576"}, 4, "E_MEMORY",
                       {"largest: " + term, "--batch ", " would fit"});
}

TEST_F(Usage, FilesOfAModelThatDoesNotFitIntoMemoryAreNotMeasured) {
    // 12 C^2 weights in each of 128 layers, in four bytes; the state has two numbers for each.
    for (const auto& [what, term] : std::vector<std::pair<std::string, std::string>>{
             {"checkpoint", "largest: a copy of weights and state 4948.4 GB"},
             {"load", "gradients 1649.5 GB"}})
        expect_failure(
            {"bench", what, "--set", "GPT2_MODEL_SIZE=custom", "--set", "GPT2_N_LAYER=128", "--set",
             "GPT2_N_HEAD=128", "--set", "GPT2_N_EMBD=16384"},
            4, "E_MEMORY",
            {term, "optimizer state 3298.9 GB", "weights 1649.5 GB", "take a smaller --size"});
}

TEST_F(Usage, BenchTrainTakesTheShapeThatBenchStepTakes) {
    for (const char* what : {"step", "train"}) {
        expect_failure({"bench", what, "--size", "125M"}, 2, "E_USAGE", {"125M", "124M"});
        const std::string help = knlp({"bench", what, "--help"}).out;
        for (const char* option : {"--size", "--n-ctx", "--batch", "--accumulation", "--precision",
                                   "--gemm", "--device"})
            EXPECT_THAT(help, HasSubstr(option)) << what;
    }
}

TEST_F(Usage, ErrorsAreJsonWhereJsonWasAskedFor) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"config", "explain", "LERNING_RATE", "--json"},
          {"config", "--json", "lst"}}) {
        const Finished done = knlp(arguments);
        EXPECT_EQ(done.status, 2);
        EXPECT_EQ(done.out, "");
        const nlohmann::json error = nlohmann::json::parse(done.err)["error"];
        EXPECT_EQ(error["status"], 2);
        EXPECT_TRUE(error["code"] == "E_UNKNOWN_SYMBOL" || error["code"] == "E_USAGE") << error;
        EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("did you mean"));
    }
}

TEST_F(Usage, ClosedPipeEndsQuietly) {
    const Finished done = run_shell("\"$KNLP\" man | head -n 1", dir_.path());
    EXPECT_EQ(done.status, 0);
    EXPECT_EQ(done.err, "");
    const Finished closed =
        run_shell("\"$KNLP\" config list | true; exit ${PIPESTATUS[0]}", dir_.path());
    EXPECT_TRUE(closed.status == 0 || closed.status == 128 + SIGPIPE) << closed.status;
    EXPECT_EQ(closed.err, "");
}

TEST_F(Usage, FullDiskUnderStdoutIsAnError) {
    if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
    const Finished done = run_shell("\"$KNLP\" config list > /dev/full", dir_.path());
    EXPECT_EQ(done.status, 4);
    EXPECT_THAT(done.err, HasSubstr("knlp: error[E_IO]: standard output"));
}

TEST_F(Usage, NoColourReachesAPipe) {
    EXPECT_EQ(knlp({"trian"}).err.find('\033'), std::string::npos);
    EXPECT_EQ(knlp({"doctor"}).out.find('\033'), std::string::npos);
}

TEST_F(Usage, NonsenseThreadVariablesGiveAWarning) {
    const Finished done = knlp({"config", "embedded"}, {{"OMP_NUM_THREADS", "many"}});
    EXPECT_EQ(done.status, 0);
    EXPECT_THAT(done.err, HasSubstr("OMP_NUM_THREADS='many'"));
    EXPECT_THAT(knlp({"config", "embedded"}, {{"OMP_NUM_THREADS", "0"}}).err,
                HasSubstr("OMP_NUM_THREADS='0'"));
}

}  // namespace
}  // namespace knlp::test
