#include "knlp/bench/judged_lines.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

namespace knlp::bench {
namespace {

using testing::HasSubstr;

Machine machine_of(double read_gbps, double copy_gbps) {
    return {.memory = {.threads = 1,
                       .bytes = int64_t{1} << 30,
                       .read_gbps = read_gbps,
                       .copy_gbps = copy_gbps}};
}

/// Moves so much that no cache of the day holds it.
Record moving(const std::string& what, double gbps) {
    Record record{.what = what, .bytes_moved = int64_t{1} << 40};
    record.timing =
        summarize(std::vector<double>(7, static_cast<double>(record.bytes_moved) / gbps / 1e9));
    return record;
}

/// Lines judged by 40 and 50 GB/s at first, and by what is injected when they measure again.
struct Session {
    Bandwidth next;
    std::vector<Bandwidth> asked;
    JudgedLines lines{machine_of(40, 50), [this](const Bandwidth& like) {
                          asked.push_back(like);
                          return next;
                      }};
    bool valid(const char* what) const { return lines.lines().at(what).at("valid"); }
};

TEST(JudgedLines, AHigherBandwidthLaterMarksTheLinesBeforeIt) {
    Session session;
    session.lines.add(moving("first", 49));
    session.lines.add({.what = "bpe.encode", .timing = summarize(std::vector<double>(7, 1.0))});
    EXPECT_TRUE(session.valid("first"));
    Record decode = moving("decode", 60);
    decode.read_gbps = 70;  // measured in turns with it
    EXPECT_EQ(session.lines.add(decode).at("read_gbps"), 70);
    EXPECT_TRUE(session.valid("decode"));
    EXPECT_FALSE(session.valid("first"));
    EXPECT_THAT(session.lines.lines()["first"]["invalid_reason"].get<std::string>(),
                HasSubstr("70.0 GB/s read"));
    EXPECT_TRUE(session.valid("bpe.encode")) << "counts no bytes";
    EXPECT_TRUE(session.asked.empty()) << "it was measured in turns with the record";
    EXPECT_EQ(session.lines.machine().memory.read_gbps, 70);
    // Taken again, it is judged by what is known now.
    session.lines.add(moving("first", 69));
    EXPECT_TRUE(session.valid("first"));
    EXPECT_TRUE(session.valid("decode"));
}

TEST(JudgedLines, WhatBeatsTheBandwidthHasItMeasuredAgain) {
    Session session;
    session.next = machine_of(45, 80).memory;
    session.lines.add(moving("first", 50));
    session.lines.add(moving("fast", 78));
    ASSERT_EQ(session.asked.size(), 1u);
    EXPECT_EQ(session.asked[0].threads, 1);
    EXPECT_EQ(session.asked[0].bytes, int64_t{1} << 30);
    EXPECT_TRUE(session.valid("fast"));
    EXPECT_FALSE(session.valid("first"));
    EXPECT_EQ(session.lines.lines()["fast"]["copy_gbps"], 80);
}

TEST(JudgedLines, WhatStillBeatsItIsInvalidItselfAndNothingElse) {
    Session session;
    session.next = machine_of(40, 51).memory;
    session.lines.add(moving("first", 49));
    session.lines.add(moving("impossible", 90));
    EXPECT_EQ(session.asked.size(), 1u);
    EXPECT_FALSE(session.valid("impossible"));
    EXPECT_TRUE(session.valid("first"));
}

}  // namespace
}  // namespace knlp::bench
