#include "knlp/bench/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knlp::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

Timing seconds(double value) {
    return summarize({value, value, value, value, value});
}

Machine machine_of(double read_gbps, double copy_gbps) {
    return {.memory = {.threads = 1, .read_gbps = read_gbps, .copy_gbps = copy_gbps}};
}

/// Moves so much that no cache of the day holds it.
Record moving(double gbps) {
    Record record{.what = "copy", .bytes_moved = int64_t{1} << 40};
    record.timing = seconds(static_cast<double>(record.bytes_moved) / gbps / 1e9);
    return record;
}

TEST(Record, JsonHoldsTheTimingAndTheRatioToEachRival) {
    Record record{
        .what = "copy", .shape = {{"bytes", 1000}}, .bytes_moved = 2000, .timing = seconds(1e-6)};
    record.rivals["memcpy"] = seconds(2e-6);
    record.results["mb_per_s"] = 7;
    const nlohmann::json json = to_json(record, machine_of(40, 50));
    EXPECT_EQ(json.at("what"), "copy");
    EXPECT_EQ(json.at("samples"), 5);
    EXPECT_DOUBLE_EQ(json.at("achieved_gbps"), 2.0);
    EXPECT_DOUBLE_EQ(json.at("rivals").at("memcpy").at("ratio"), 2.0);
    EXPECT_DOUBLE_EQ(json.at("results").at("mb_per_s"), 7);
    EXPECT_EQ(json.at("read_gbps"), 40);
    EXPECT_EQ(json.at("valid"), true);
    for (const char* key : {"machine", "revision", "utc", "noisy", "p10_s", "p90_s", "mad_s",
                            "threads", "goal", "details", "invalid_reason"})
        EXPECT_TRUE(json.contains(key)) << key;
}

TEST(Record, WhatWasNotMeasuredIsNull) {
    const nlohmann::json json = to_json({.what = "x", .timing = seconds(1)}, {});
    for (const char* key :
         {"achieved_gbps", "bytes_moved", "read_gbps", "fma_gflops", "bf16_gflops", "goal"})
        EXPECT_TRUE(json.at(key).is_null()) << key;
}

TEST(Record, FasterThanTheMeasuredMemoryByMoreThanFivePercentIsInvalid) {
    const Record record = moving(53);
    EXPECT_THAT(invalid_reason(record, machine_of(40, 50).memory), HasSubstr("53.0 GB/s"));
    const nlohmann::json json = to_json(record, machine_of(40, 50));
    EXPECT_EQ(json.at("valid"), false);
    EXPECT_THAT(json.at("invalid_reason").get<std::string>(), HasSubstr("50.0 GB/s"));
    EXPECT_THAT(to_text(record, machine_of(40, 50)), HasSubstr("INVALID"));
}

TEST(Record, WithinFivePercentOfTheMeasuredMemoryIsValid) {
    EXPECT_EQ(invalid_reason(moving(52), machine_of(40, 50).memory), "");
    EXPECT_EQ(invalid_reason(moving(52), machine_of(50, 40).memory), "") << "the better one counts";
    EXPECT_EQ(invalid_reason(moving(52), {}), "") << "nothing to compare with";
}

TEST(Record, TheBandwidthMeasuredInTurnsWithItCountsToo) {
    Record record = moving(53);
    record.read_gbps = 51;
    EXPECT_EQ(invalid_reason(record, machine_of(40, 50).memory), "");
    record.read_gbps = 50;
    EXPECT_NE(invalid_reason(record, machine_of(40, 50).memory), "");
}

TEST(Record, WhatFitsIntoTheCachesMayBeFasterThanMemory) {
    Record record{.what = "copy", .bytes_moved = 4096};
    record.timing = seconds(1e-9);
    EXPECT_EQ(invalid_reason(record, machine_of(40, 50).memory), "");
}

TEST(Record, TextEndsWithItsTable) {
    Record record{.what = "step", .timing = seconds(1), .goal = "fast"};
    record.details_text = "  group\n";
    EXPECT_THAT(to_text(record, {}), testing::EndsWith("  goal: fast\n  group\n"));
    EXPECT_THAT(to_text(record, {}), Not(HasSubstr("INVALID")));
}

}  // namespace
}  // namespace knlp::bench
