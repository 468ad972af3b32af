#include "knlp/config/build_info.h"
#include "knlp/core/host.h"

#include "tests/cli/cli_test.h"

namespace knlp::test {
namespace {

class Version : public CliTest {};

TEST_F(Version, JsonNamesWhatTheBinaryIsMadeOf) {
    const Finished done = knlp({"--version", "--json"});
    ASSERT_EQ(done.status, 0) << done.err;
    const nlohmann::json v = nlohmann::json::parse(done.out);
    EXPECT_EQ(v["openmp_runtimes"], 1);
    EXPECT_EQ(v["build_config_sha256"], config::build_info().build_config_sha256);
    EXPECT_EQ(v["libtorch"], config::build_info().torch_version);
    EXPECT_EQ(v["cuda"], config::built("USE_CUDA") == "y");
    EXPECT_EQ(v["isa"], name_of(isa()));
    EXPECT_EQ(v["gemm_backends"].size(), 3u);
    for (const char* key : {"version", "git_commit", "compiler", "fmt", "json"})
        EXPECT_TRUE(v[key].is_string()) << key;
    EXPECT_TRUE(v["git_dirty"].is_boolean());
    EXPECT_THAT(v["features"].get<std::vector<std::string>>(), testing::Contains("MODEL_GPT2"));
}

TEST_F(Version, TextHasTheSameFacts) {
    const Finished done = knlp({"--version"});
    EXPECT_EQ(done.status, 0);
    for (const std::string part : {"knlp ", "LibTorch", "ISA", "OpenMP        1 runtime"})
        EXPECT_THAT(done.out, testing::HasSubstr(part));
    EXPECT_THAT(done.out,
                testing::HasSubstr(std::string(config::build_info().build_config_sha256)));
}

TEST_F(Version, VariantsAreListedWithTheSymbolThatBuildsThem) {
    const Finished text = knlp({"--variants"}), json = knlp({"--variants", "--json"});
    ASSERT_EQ(text.status, 0) << text.err;
    EXPECT_THAT(text.out, testing::ContainsRegex("^causal +MODEL_GPT2 +softmax attention"));
    const nlohmann::json rows = nlohmann::json::parse(json.out);
    EXPECT_EQ(rows.at(0).at("name"), "causal");
    EXPECT_EQ(rows.size(), static_cast<size_t>(std::count(text.out.begin(), text.out.end(), '\n')));
}

TEST_F(Version, InstructionSetCanBeForcedDown) {
    const Finished done = knlp({"--version", "--json"}, {{"KNLP_ISA", "scalar"}});
    EXPECT_EQ(nlohmann::json::parse(done.out)["isa"], "scalar");
    expect_failure({"--version"}, 2, "E_USAGE", {"KNLP_ISA='sse9'", "avx2"},
                   {{"KNLP_ISA", "sse9"}});
}

TEST_F(Version, InstructionSetCannotBeForcedUp) {
    expect_failure({"--version"}, 5, "E_NOT_AVAILABLE",
                   {"KNLP_ISA=avx512", "this CPU has no AVX-512", "scalar is its best"},
                   {{"KNLP_ISA", "avx512"}, {"KNLP_CPU_LIMIT", "scalar"}});
    expect_failure({"--version"}, 5, "E_NOT_AVAILABLE", {"this CPU has no AVX2"},
                   {{"KNLP_ISA", "avx2"}, {"KNLP_CPU_LIMIT", "scalar"}});
    expect_failure({"--version"}, 2, "E_USAGE", {"KNLP_CPU_LIMIT='sse'", "avx2"},
                   {{"KNLP_CPU_LIMIT", "sse"}});
    const Finished done = knlp({"--version", "--json"}, {{"KNLP_CPU_LIMIT", "scalar"}});
    EXPECT_EQ(nlohmann::json::parse(done.out)["isa"], "scalar");
}

}  // namespace
}  // namespace knlp::test
