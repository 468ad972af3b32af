#include "src/bench/breakdown.h"

#include "knlp/bench/record.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

namespace knlp::bench {
namespace {

using nlohmann::json;
using profile::Counts;
using profile::Group;
using testing::HasSubstr;
using testing::Not;

/// A step of `linear_s` in one region below "forward", `norm_s` beside it and `other_s` uncovered.
profile::Totals step_of(double linear_s, double norm_s, double other_s) {
    profile::Totals totals;
    totals.seconds = linear_s + norm_s + other_s;
    totals.nodes = {
        {.name = "other", .parent = -1, .own = {.seconds = 0}},
        {.name = "forward", .parent = 0, .own = {.seconds = other_s, .calls = 1}},
        {.group = Group::kLinearForward,
         .name = "qkv",
         .parent = 1,
         .own = {.seconds = linear_s, .calls = 2, .flops = 1e9, .bytes = 1e6}},
        {.group = Group::kNorm,
         .name = "norm",
         .parent = 1,
         .own = {.seconds = norm_s, .calls = 4, .bytes = 5e8}},
    };
    for (const profile::Node& node : totals.nodes) {
        Counts& sum = totals.groups[static_cast<size_t>(node.group)];
        sum.seconds += node.own.seconds;
        sum.calls += node.own.calls;
        sum.flops += node.own.flops;
        sum.bytes += node.own.bytes;
    }
    return totals;
}

Machine machine() {
    return {.memory = {.threads = 1, .read_gbps = 10, .copy_gbps = 8},
            .peak = {.threads = 1, .fma_gflops = 100, .bf16_gflops = 200}};
}

json group_of(const json& breakdown, const std::string& name) {
    for (const json& row : breakdown.at("groups"))
        if (row.at("group") == name) return row;
    return nullptr;
}

TEST(Breakdown, GroupsHaveRatesAndAShareOfTheRoof) {
    const json b =
        breakdown_json({step_of(0.02, 0.1, 0.005)}, summarize({0.125}), machine(), false);
    const json linear = group_of(b, "linear_forward"), norm = group_of(b, "norm");
    EXPECT_DOUBLE_EQ(linear.at("ms"), 20);
    EXPECT_DOUBLE_EQ(linear.at("share"), 0.16);
    EXPECT_DOUBLE_EQ(linear.at("gflops"), 50);
    EXPECT_EQ(linear.at("limit"), "compute");
    EXPECT_DOUBLE_EQ(linear.at("roof_share"), 0.5);
    EXPECT_EQ(linear.at("calls"), 2);
    EXPECT_TRUE(norm.at("gflops").is_null());
    EXPECT_DOUBLE_EQ(norm.at("gbps"), 5);
    EXPECT_EQ(norm.at("limit"), "memory");
    EXPECT_DOUBLE_EQ(norm.at("roof_share"), 0.5) << "of the better of reading and copying";
    EXPECT_EQ(b.at("groups").size(), static_cast<size_t>(profile::kGroups));
}

TEST(Breakdown, ProductsInBfloatHaveTheRoofOfItsInstruction) {
    const json b = breakdown_json({step_of(0.02, 0.1, 0.005)}, summarize({0.125}), machine(), true);
    EXPECT_DOUBLE_EQ(group_of(b, "linear_forward").at("roof_share"), 0.25);
    EXPECT_EQ(b.at("peak_gflops"), 200);
}

TEST(Breakdown, BytesFasterThanMemoryCameFromTheCache) {
    const json b = breakdown_json({step_of(0.02, 0.01, 0)}, summarize({0.03}), machine(), false);
    EXPECT_EQ(group_of(b, "norm").at("limit"), "cache");
    EXPECT_TRUE(group_of(b, "norm").at("roof_share").is_null());
}

TEST(Breakdown, IsCompleteWhenItAddsUpWithLittleInOther) {
    const auto complete = [](double other_s, double step_s) {
        return breakdown_json({step_of(0.5, 0.5 - other_s, other_s)}, summarize({step_s}),
                              machine(), false)
            .at("complete")
            .get<bool>();
    };
    EXPECT_TRUE(complete(0.04, 1.0));
    EXPECT_TRUE(complete(0.04, 1.02));
    EXPECT_FALSE(complete(0.06, 1.0)) << "6 % in other";
    EXPECT_FALSE(complete(0.04, 1.04)) << "4 % of the step missing";
    EXPECT_FALSE(complete(0.04, 0.96)) << "4 % too much";
}

TEST(Breakdown, FasterThanThePeakIsInvalid) {
    const auto of = [](double linear_s) {
        Record record{.what = "step", .timing = summarize({1.0})};
        record.details =
            breakdown_json({step_of(linear_s, 0.1, 0)}, summarize({0.11}), machine(), false);
        return record;
    };
    // 1 GFLOP at 100 GFLOP/s takes 10 ms.
    EXPECT_EQ(of(0.0096).details.at("valid"), true);
    EXPECT_EQ(of(0.0094).details.at("valid"), false);
    EXPECT_EQ(invalid_reason(of(0.0096), machine().memory), "");
    EXPECT_THAT(invalid_reason(of(0.0094), machine().memory), HasSubstr("peak"));
}

TEST(Breakdown, TimesAreMediansOfTheSteps) {
    const json b =
        breakdown_json({step_of(0.02, 0.1, 0), step_of(0.9, 0.1, 0), step_of(0.03, 0.1, 0)},
                       summarize({0.13}), machine(), false);
    EXPECT_DOUBLE_EQ(group_of(b, "linear_forward").at("ms"), 30);
}

TEST(Breakdown, NodesKeepTheNestingOfTheRegions) {
    const json b = breakdown_json({step_of(0.02, 0.1, 0.005), step_of(0.02, 0.1, 0.005)},
                                  summarize({0.125}), machine(), false);
    const json& nodes = b.at("nodes");
    ASSERT_EQ(nodes.size(), 4u);
    EXPECT_EQ(nodes[0].at("name"), "step");
    EXPECT_TRUE(nodes[0].at("parent").is_null());
    EXPECT_EQ(nodes[1].at("name"), "forward");
    EXPECT_EQ(nodes[2].at("parent"), 1);
    EXPECT_EQ(nodes[2].at("group"), "linear_forward");
    EXPECT_DOUBLE_EQ(nodes[2].at("ms"), 20);
}

TEST(Breakdown, TextSaysWhenItIsNotComplete) {
    const auto text = [](double step_s) {
        return breakdown_text(
            breakdown_json({step_of(0.5, 0.5, 0)}, summarize({step_s}), machine(), false));
    };
    EXPECT_THAT(text(1.0), Not(HasSubstr("INCOMPLETE")));
    EXPECT_THAT(text(1.0), HasSubstr("linear_forward"));
    EXPECT_THAT(text(1.0), Not(HasSubstr("embedding"))) << "took no time";
    EXPECT_THAT(text(2.0), HasSubstr("INCOMPLETE"));
}

}  // namespace
}  // namespace knlp::bench
