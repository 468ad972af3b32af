#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <cmath>

#include "knlp/bench/bench.h"
#include "tests/support/expect_error.h"

namespace knlp::bench {
namespace {

StepRequest small_request() {
    StepRequest request{
        .batch = 2, .accumulation = 2, .gemm = "aten", .threads = 1, .samples = 7, .warm_up = 1};
    request.model.size = "custom";
    request.model.n_layer = 2;
    request.model.n_head = 2;
    request.model.d_model = 32;
    request.model.n_ctx = 16;
    request.model.vocab_size = 50;
    request.model.dropout = 0;
    return request;
}

}  // namespace

TEST(StepBench, TakesRealStepsAndSplitsTheirTime) {
    const Record record = bench_step(small_request());
    EXPECT_EQ(record.timing.samples_s.size(), 7u);
    EXPECT_NEAR(record.results.at("first_loss"), std::log(50.0), 0.3)
        << "an untrained model knows nothing";
    EXPECT_NE(record.results.at("last_loss"), record.results.at("first_loss"));
    EXPECT_DOUBLE_EQ(record.results.at("tokens_per_s") * record.timing.median_s, 2 * 2 * 16);
    for (const char* phase : {"forward_ms", "backward_ms", "optimizer_ms"})
        EXPECT_GT(record.results.at(phase), 0) << phase;
    EXPECT_EQ(record.types.at("gemm"), "aten");
    EXPECT_EQ(record.shape.at("accumulation"), 2);
}

TEST(StepBench, BreakdownCoversTheStepsBetweenThePlainOnes) {
    const Machine machine{.memory = {.threads = 1, .read_gbps = 10, .copy_gbps = 10},
                          .peak = {.threads = 1, .fma_gflops = 100}};
    const Record record = bench_step(small_request(), &machine);
    const nlohmann::json& breakdown = record.details;
    double sum_ms = 0, data_ms = 0, optimizer_ms = 0;
    for (const nlohmann::json& row : breakdown.at("groups")) {
        sum_ms += row.at("ms").get<double>();
        if (row.at("group") == "data") data_ms = row.at("ms");
        if (row.at("group") == "optimizer") optimizer_ms = row.at("ms");
    }
    EXPECT_NEAR(sum_ms, breakdown.at("sum_ms"), 1e-9);
    EXPECT_GT(data_ms, 0);
    EXPECT_GT(optimizer_ms, 0);
    EXPECT_NEAR(breakdown.at("step_ms"), 1e3 * record.timing.median_s, 1e-9);
    EXPECT_NE(record.details_text, "");
}

TEST(StepBench, WithoutARoofThereIsNoBreakdown) {
    const Record record = bench_step(small_request());
    EXPECT_TRUE(record.details.is_null());
    EXPECT_EQ(record.results.count("step_ratio"), 0u);
}

TEST(StepBench, RatiosAreThoseToTheProductsAndTheBytesOfTheUpdate) {
    const Machine machine{.memory = {.threads = 1, .read_gbps = 10, .copy_gbps = 20},
                          .peak = {.threads = 1, .fma_gflops = 100}};
    const Record record = bench_step(small_request(), &machine);
    const auto& results = record.results;
    // AdamW: weight, gradient and two moments read, all but the gradient written.
    const double update_ms = 28 * static_cast<double>(record.shape.at("parameters")) / 20e9 * 1e3;
    EXPECT_NEAR(results.at("update_bytes_ms"), update_ms, 1e-9);
    EXPECT_NEAR(results.at("optimizer_ratio"), results.at("optimizer_ms") / update_ms, 1e-9);
    EXPECT_GT(results.at("products_ms"), 0);
    EXPECT_NEAR(results.at("step_ratio") * (results.at("products_ms") + update_ms),
                1e3 * record.timing.median_s, 1e-9);
}

TEST(StepBench, TheUpdateIsJudgedByTheCopiesBetweenTheSteps) {
    const Machine machine{.memory = {.threads = 1, .read_gbps = 1e-3, .copy_gbps = 1e-3},
                          .peak = {.threads = 1, .fma_gflops = 100}};
    StepRequest request = small_request();
    request.copy_bytes = 1 << 20;
    const Record record = bench_step(request, &machine);
    const auto& results = record.results;
    EXPECT_GT(results.at("copy_gbps"), 10 * machine.memory.copy_gbps);
    const auto bytes = 28 * static_cast<double>(record.shape.at("parameters"));
    EXPECT_LT(results.at("update_bytes_ms"), 1e3 * bytes / 1e6 / 10);
    EXPECT_DOUBLE_EQ(record.details.at("peak_gbps"), record.copy_gbps)
        << "the groups are judged by the best that was measured";
}

TEST(StepBench, KnowsTheSizesByName) {
    EXPECT_EQ(model_of_size("124M").d_model, 768);
    test::expect_error(kUsage, {"12M"}, [] { model_of_size("12M"); });
}

TEST(StepBench, RefusesABatchOfNothing) {
    StepRequest request = small_request();
    request.batch = 0;
    test::expect_error(kUsage, {"batch 0"}, [&] { bench_step(request); });
}

}  // namespace knlp::bench
