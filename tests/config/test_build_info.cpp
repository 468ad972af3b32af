#include "knlp/config/build_info.h"

#include "knlp/config/schema.h"
#include "knlp/core/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace knlp::config {
namespace {

TEST(BuildInfo, HashIsThatOfTheEmbeddedLines) {
    EXPECT_EQ(sha256_hex(embedded_build_config()), build_info().build_config_sha256);
}

TEST(BuildInfo, OnlyBuildSymbolsAreEmbedded) {
    const std::string text(embedded_build_config());
    for (const SymbolInfo& symbol : symbols()) {
        if (symbol.build || !symbol.env.empty()) continue;
        EXPECT_EQ(text.find("CONFIG_" + std::string(symbol.name) + "="), std::string::npos)
            << symbol.name;
        EXPECT_EQ(built(symbol.name), "n") << symbol.name;
    }
}

TEST(BuildInfo, BuiltSaysWhatTheLinesSay) {
    EXPECT_EQ(built("MODEL_GPT2"), "y");
    int types = 0;
    for (const char* name : {"BUILD_RELEASE", "BUILD_DEBUG", "BUILD_RELWITHDEBINFO"})
        types += built(name) == "y";
    EXPECT_EQ(types, 1);
    EXPECT_EQ(built("NO_SUCH_SYMBOL"), "n");
}

TEST(BuildInfo, NamesWhatItWasMadeFrom) {
    EXPECT_NE(build_info().compiler.find("g++"), std::string_view::npos);
    EXPECT_FALSE(build_info().version.empty());
    EXPECT_FALSE(build_info().git_commit.empty());
    EXPECT_TRUE(build_info().torch_version.starts_with("2."));
}

TEST(BuildInfo, UncommittedChangesHaveAHash) {
    const std::string_view hash = build_info().git_diff_sha256;
    EXPECT_EQ(hash.size(), build_info().git_dirty ? 64u : 0u);
    EXPECT_EQ(hash.find_first_not_of("0123456789abcdef"), std::string_view::npos);
}

}  // namespace
}  // namespace knlp::config
