#include "knlp/bench/inference_bench.h"

#include "tests/support/expect_error.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace knlp::bench {
namespace {

InferenceRequest small_request() {
    return {.model = {.n_layer = 2, .n_head = 2, .d_model = 32, .n_ctx = 64, .vocab_size = 100},
            .batch = 3,
            .contexts = {8, 64},
            .prompt = 40,
            .samples = 7,
            .min_sample_s = 0,
            .read_bytes = 1 << 20};
}

Machine machine_of(double read_gbps) {
    Machine machine;
    machine.memory.read_gbps = read_gbps;
    return machine;
}

TEST(DecodeBench, CountsTheBytesOfWeightsAndCache) {
    const std::vector<Record> records = bench_decode(small_request(), machine_of(1e6));
    ASSERT_EQ(records.size(), 2u);
    // 12 C^2 weights and 9 C biases a layer, and the head.
    const int64_t weights = 4 * (2 * (12 * 32 * 32 + 9 * 32) + 100 * 32);
    const int64_t kv_token = 3 * 2 * 2 * 32 * 4;  // rows, layers, K and V, C floats
    EXPECT_EQ(records[0].what, "decode.s8");
    EXPECT_EQ(records[1].what, "decode.s64");
    EXPECT_EQ(records[0].bytes_moved, weights + 8 * kv_token);
    EXPECT_EQ(records[1].bytes_moved, weights + 64 * kv_token);
    for (const Record& record : records) {
        EXPECT_GE(record.timing.samples_s.size(), 7u);
        EXPECT_DOUBLE_EQ(record.results.at("tokens_per_s"), 3 / record.timing.median_s);
        EXPECT_GT(record.results.at("times_batch_1"), 0);
        EXPECT_GT(record.read_gbps, 0);
        EXPECT_LE(record.results.at("read_gbps"), record.read_gbps);
        EXPECT_GT(record.results.at("read_share"), 0);
        const double gbps = static_cast<double>(record.bytes_moved) / record.timing.median_s / 1e9;
        EXPECT_DOUBLE_EQ(record.results.at("read_share_of_best"),
                         gbps / std::max(1e6, record.read_gbps));
    }
    EXPECT_DOUBLE_EQ(records[1].results.at("slope_bytes_ns"),
                     static_cast<double>(kv_token) / records[1].results.at("read_gbps"));
    for (const Record& record : records) {
        EXPECT_GT(record.results.at("attention_ms"), 0);
        EXPECT_LT(record.results.at("attention_ms"), 1e3 * record.timing.median_s);
    }
}

TEST(DecodeBench, SlopesAreTheMediansOfThoseOfTheRounds) {
    const std::vector<Record> records = bench_decode(small_request(), machine_of(1e6));
    // Contexts of 8 and 64 tokens: the slope of a line through two points.
    const auto slope_ns = [](const std::vector<double>& at_8, const std::vector<double>& at_64) {
        std::vector<double> slopes;
        for (size_t i = 0; i < at_8.size(); ++i) slopes.push_back(1e9 * (at_64[i] - at_8[i]) / 56);
        std::ranges::sort(slopes);
        const size_t n = slopes.size();
        return (slopes[(n - 1) / 2] + slopes[n / 2]) / 2;
    };
    const auto attention = [&](size_t i) {
        return records[i].details.at("attention_s").get<std::vector<double>>();
    };
    const auto& results = records[1].results;
    EXPECT_NEAR(results.at("slope_ns"),
                slope_ns(records[0].timing.samples_s, records[1].timing.samples_s), 1e-3);
    EXPECT_NEAR(results.at("slope_attention_ns"), slope_ns(attention(0), attention(1)), 1e-3);
    EXPECT_DOUBLE_EQ(results.at("slope_attention_share"),
                     results.at("slope_attention_ns") / results.at("slope_ns"));
}

TEST(DecodeBench, Bf16WeightsAreHalfTheBytes) {
    InferenceRequest request = small_request();
    const double fp32 = bench_decode(request, machine_of(10))[0].results.at("weight_bytes");
    request.bf16 = true;
    const Record record = bench_decode(request, machine_of(10))[0];
    const double biases = 4 * 2 * 9 * 32;
    EXPECT_DOUBLE_EQ(record.results.at("weight_bytes") - biases, (fp32 - biases) / 2);
    EXPECT_EQ(record.types.at("weights"), "bf16");
    EXPECT_EQ(record.types.at("cache"), "bf16");
    EXPECT_DOUBLE_EQ(record.results.at("kv_bytes"), 8 * 3 * 2 * 2 * 32 * 2);
}

TEST(PrefillBench, ComparesWithTheProductsAlone) {
    for (const bool bf16 : {false, true}) {
        InferenceRequest request = small_request();
        request.bf16 = bf16;
        const Record record = bench_prefill(request);
        EXPECT_DOUBLE_EQ(record.results.at("tokens_per_s"), 120 / record.timing.median_s);
        const double flops = 2.0 * 120 * 2 * 12 * 32 * 32 + 2.0 * 3 * 100 * 32;
        EXPECT_DOUBLE_EQ(record.results.at("gflops"), flops / record.timing.median_s / 1e9);
        EXPECT_DOUBLE_EQ(record.results.at("gemm_share"),
                         record.results.at("gflops") / record.results.at("gemm_gflops"));
    }
}

TEST(PrefillBench, ReadsThePromptInChunks) {
    InferenceRequest request = small_request();
    EXPECT_EQ(bench_prefill(request).shape.at("chunk"), 40) << "all of it";
    for (const int64_t chunk : {1, 16, 64}) {
        request.chunk = chunk;
        const Record record = bench_prefill(request);
        EXPECT_EQ(record.shape.at("chunk"), std::min<int64_t>(chunk, 40));
        EXPECT_EQ(record.shape.at("prompt"), 40);
        // The products of the prompt do not depend on the chunks.
        const double flops = 2.0 * 120 * 2 * 12 * 32 * 32 + 2.0 * 3 * 100 * 32;
        EXPECT_DOUBLE_EQ(record.results.at("gflops"), flops / record.timing.median_s / 1e9);
        EXPECT_DOUBLE_EQ(record.results.at("gemm_share"),
                         record.results.at("gflops") / record.results.at("gemm_gflops"));
    }
}

TEST(InferenceBench, LengthsBeyondTheContextAreRefused) {
    InferenceRequest request = small_request();
    request.contexts = {65};
    request.prompt = 65;
    test::expect_error(kUsage, {"65 tokens are outside 1..64"},
                       [&] { bench_decode(request, machine_of(10)); });
    test::expect_error(kUsage, {"65 tokens are outside 1..64"}, [&] { bench_prefill(request); });
}

}  // namespace
}  // namespace knlp::bench
