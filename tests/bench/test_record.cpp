#include "knlp/bench/record.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

namespace knlp::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

Timing seconds(double value) {
    return summarize(std::vector<double>(7, value));
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
    EXPECT_EQ(json.at("samples"), 7);
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

TEST(Record, WhatOnlyReadsIsJudgedByTheBandwidthOfReading) {
    Record record = moving(43);
    EXPECT_EQ(invalid_reason(record, machine_of(40, 50).memory), "");
    record.only_reads = true;
    EXPECT_THAT(invalid_reason(record, machine_of(40, 50).memory), HasSubstr("it read 43.0 GB/s"));
    EXPECT_EQ(invalid_reason(record, machine_of(41, 50).memory), "");
}

TEST(Record, IsNotJudgedByWhatFewerThreadsGet) {
    Record record = moving(80);
    record.threads = 2;
    EXPECT_EQ(invalid_reason(record, machine_of(40, 50).memory), "");
}

TEST(Record, TheBandwidthMeasuredInTurnsWithItCountsToo) {
    Record record = moving(53);
    record.read_gbps = 51;
    EXPECT_EQ(invalid_reason(record, machine_of(40, 50).memory), "");
    record.read_gbps = 50;
    EXPECT_NE(invalid_reason(record, machine_of(40, 50).memory), "");
}

TEST(Record, HoldsTheBestBandwidthThatWasMeasuredInItsTurns) {
    Record record = moving(30);
    record.read_gbps = 60;
    nlohmann::json json = to_json(record, machine_of(40, 50));
    EXPECT_EQ(json.at("read_gbps"), 60);
    EXPECT_EQ(json.at("copy_gbps"), 50);
    record.read_gbps = 35;
    record.copy_gbps = 55;
    json = to_json(record, machine_of(40, 50));
    EXPECT_EQ(json.at("read_gbps"), 40);
    EXPECT_EQ(json.at("copy_gbps"), 55);
}

TEST(LearnBandwidth, TakesWhatIsHigherAndSaysWhetherEarlierJudgementsStillHold) {
    Bandwidth memory = machine_of(40, 50).memory;
    EXPECT_FALSE(learn_bandwidth({.read_gbps = 41, .copy_gbps = 30}, memory)) << "within 5 %";
    EXPECT_EQ(memory.read_gbps, 41);
    EXPECT_EQ(memory.copy_gbps, 50);
    EXPECT_TRUE(learn_bandwidth({.read_gbps = 44}, memory)) << "readers were judged by 41";
    EXPECT_TRUE(learn_bandwidth({.copy_gbps = 60}, memory));
    EXPECT_FALSE(learn_bandwidth({.copy_gbps = 60}, memory)) << "known by now";
}

TEST(LearnBandwidth, AFirstMeasurementMakesNothingStale) {
    Bandwidth memory;
    EXPECT_FALSE(learn_bandwidth({.read_gbps = 44}, memory));
}

TEST(LearnBandwidth, MarksWhatCountedBytesAndBreakdownsAlone) {
    const Machine machine = machine_of(40, 50);
    Record step{.what = "step", .timing = seconds(1)};
    step.details = {{"valid", true}};
    nlohmann::json lines = {{"read", to_json(moving(39), machine)},
                            {"step", to_json(step, machine)},
                            {"bpe.encode", to_json({.what = "x", .timing = seconds(1)}, machine)}};
    EXPECT_THAT(invalidate_judged(lines, machine.memory, machine_of(60, 70).memory),
                testing::UnorderedElementsAre("read", "step"));
    EXPECT_EQ(lines.at("read").at("valid"), false);
    EXPECT_THAT(lines.at("read").at("invalid_reason").get<std::string>(), HasSubstr("60.0 GB/s"));
    EXPECT_EQ(lines.at("step").at("valid"), false);
    EXPECT_EQ(lines.at("bpe.encode").at("valid"), true);
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
