#include "knlp/bench/machine.h"

#include "knlp/bench/record.h"
#include "knlp/core/host.h"
#include "tests/support/expect_error.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

namespace knlp::bench {
namespace {

using testing::ElementsAre;

constexpr int64_t kMiB = int64_t{1} << 20, kGiB = int64_t{1} << 30;

TEST(Bandwidth, CountsTheBytesOfEveryThread) {
    const Bandwidth b = measure_bandwidth(2, 4 * kMiB, 5);
    EXPECT_EQ(b.bytes, 4 * kMiB);
    EXPECT_EQ(b.threads, 2);
    EXPECT_DOUBLE_EQ(b.read_gbps, 4.194304e-3 / b.read.median_s);
    EXPECT_DOUBLE_EQ(b.copy_gbps, 4.194304e-3 / b.copy.median_s) << "half read, half written";
    EXPECT_EQ(b.read.samples_s.size(), 5u);
}

TEST(Bandwidth, ChoosesTheFastestOfAtLeastFourKernels) {
    const Bandwidth b = measure_bandwidth(1, kMiB, 5);
    EXPECT_GE(b.read_by_kernel.size(), 4u);
    EXPECT_GE(b.copy_by_kernel.size(), 4u);
    for (const auto& [name, gbps] : b.read_by_kernel)
        EXPECT_LE(gbps, b.read_by_kernel.at(b.read_kernel)) << name;
    for (const auto& [name, gbps] : b.copy_by_kernel)
        EXPECT_LE(gbps, b.copy_by_kernel.at(b.copy_kernel)) << name;
}

TEST(Bandwidth, ArrayIsAQuarterOfTheFreeMemoryUpToOneGiB) {
    EXPECT_EQ(default_array_bytes(100 * kGiB), kGiB);
    EXPECT_EQ(default_array_bytes(4 * kGiB), kGiB);
    EXPECT_EQ(default_array_bytes(4 * kGiB - 4), kGiB - 1);
    EXPECT_EQ(default_array_bytes(800 * kMiB), 200 * kMiB);
    EXPECT_EQ(default_array_bytes(0), kMiB);  // a system that does not tell
}

TEST(Bandwidth, RefusesWhatMeansNothing) {
    test::expect_error(kUsage, {"1 MiB"}, [] { measure_bandwidth(1, 1000); });
    test::expect_error(kUsage, {"threads"}, [] { measure_bandwidth(0); });
}

TEST(Peak, RatesFollowFromTimes) {
    const Peak peak = measure_peak(1, 5);
    EXPECT_GT(peak.fma_gflops, 0);
    EXPECT_EQ(peak.fma.samples_s.size(), 5u);
    EXPECT_EQ(peak.bf16_gflops > 0, isa() == Isa::kAvx512 && has_avx512_bf16());
    test::expect_error(kUsage, {"threads"}, [] { measure_peak(0); });
}

TEST(Machine, RecordsCarryTheirSuffix) {
    const Bandwidth bandwidth = measure_bandwidth(1, kMiB, 5);
    const std::vector<Record> records = bandwidth_records(bandwidth, ".t1");
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].what, "memory.read.t1");
    EXPECT_EQ(records[1].what, "memory.copy.t1");
    EXPECT_EQ(records[0].bytes_moved, kMiB);
    EXPECT_EQ(records[0].types.at("kernel"), bandwidth.read_kernel);
}

TEST(Machine, FactsNameTheCaches) {
    const nlohmann::json facts = machine_facts();
    for (const char* key : {"l1d_bytes", "l2_bytes", "l3_bytes", "memory_bytes", "isa", "cores"})
        EXPECT_TRUE(facts.contains(key)) << key;
}

TEST(Machine, ThreadCountsEndWithAllCores) {
    EXPECT_THAT(thread_counts(1), ElementsAre(1));
    EXPECT_THAT(thread_counts(4), ElementsAre(1, 2, 3, 4));
    EXPECT_THAT(thread_counts(24), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 16, 24));
}

}  // namespace
}  // namespace knlp::bench
