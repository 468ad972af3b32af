#include "knlp/core/error.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace knlp {
namespace {

TEST(Error, KindsMapToTheDocumentedStatuses) {
    const std::vector<std::pair<ErrorKind, int>> table = {
        {kUsage, 2},        {kConfig, 2}, {kData, 3},       {kRun, 4},
        {kNotAvailable, 5}, {kLocked, 6}, {kCheckFailed, 1}};
    for (const auto& [kind, status] : table)
        EXPECT_EQ(exit_status(kind), status) << default_code(kind);
}

TEST(Error, FailCarriesKindCodeAndFormattedText) {
    try {
        fail(kData, "{}: token {} at position {}", "a.bin", 7, 12);
        FAIL() << "fail returned";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), kData);
        EXPECT_EQ(error.code(), "E_DATA");
        EXPECT_STREQ(error.what(), "a.bin: token 7 at position 12");
    }
}

TEST(Error, FailCodeKeepsItsOwnCode) {
    try {
        fail_code(kConfig, "E_RANGE", "SEED=-1");
        FAIL() << "fail_code returned";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), "E_RANGE");
        EXPECT_EQ(exit_status(error.kind()), 2);
    }
}

TEST(Error, NamesFromForeignFilesCannotBreakTheLineNorReachTheTerminal) {
    try {
        fail(kData, "tensor '{}'", "a\nb\x1b[31m\x7fü");
        FAIL() << "fail returned";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "tensor 'a\\x0ab\\x1b[31m\\x7fü'");
    }
}

TEST(DidYouMean, NamesTheNearestFirst) {
    const std::vector<std::string> names = {"LEARNING_RATE", "GPT2_LEARNING_RATE", "SEED",
                                            "GPT2_BIAS"};
    EXPECT_EQ(did_you_mean("LEARNING_RAT", names),
              ", did you mean LEARNING_RATE or GPT2_LEARNING_RATE?");
}

TEST(DidYouMean, GivesAtMostThreeAndEachOnce) {
    const std::vector<std::string> names = {"aa", "ab", "ac", "ad", "ab"};
    EXPECT_EQ(did_you_mean("ax", names), ", did you mean aa, ab or ac?");
}

TEST(DidYouMean, IsSilentWhenNothingIsNear) {
    const std::vector<std::string> names = {"LEARNING_RATE", "SEED"};
    EXPECT_EQ(did_you_mean("ZZZZZZZZ", names), "");
    EXPECT_EQ(did_you_mean("ANY", {}), "");
}

TEST(Check, FailureSaysWhereAndEndsWithStatus70) {
    EXPECT_EXIT(KNLP_CHECK(1 + 1 == 3), testing::ExitedWithCode(70),
                "internal error: check failed at .*test_error.cpp:[0-9]+: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace knlp
