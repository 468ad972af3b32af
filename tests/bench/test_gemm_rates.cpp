#include "knlp/bench/gemm_rates.h"

#include "tests/support/expect_error.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

namespace knlp::bench {
namespace {

StepRequest small_request() {
    StepRequest request{.batch = 2, .accumulation = 3, .threads = 1, .samples = 7};
    request.model.size = "custom";
    request.model.n_layer = 2;
    request.model.n_head = 2;
    request.model.d_model = 16;
    request.model.n_ctx = 8;
    request.model.vocab_size = 50;
    return request;
}

const Record* find(const std::vector<Record>& records, const std::string& what) {
    for (const Record& record : records)
        if (record.what == what) return &record;
    return nullptr;
}

TEST(GemmRates, MeasureEveryRouteInBothTypes) {
    const std::vector<Record> records = bench_gemm(small_request());
    for (const char* what : {"gemm.native.fp32", "gemm.aten.fp32", "gemm.best.fp32",
                             "gemm.native.bf16", "gemm.aten.bf16", "gemm.best.bf16"})
        EXPECT_NE(find(records, what), nullptr) << what;
}

TEST(GemmRates, EveryProductOfALayerHasARate) {
    StepRequest request = small_request();
    request.gemm = "native";
    const std::vector<Record> records = bench_gemm(request);
    ASSERT_EQ(records.size(), 1u) << "a forced route is measured alone, in the request's precision";
    const Record& record = records.front();
    EXPECT_EQ(record.what, "gemm.native.fp32");
    EXPECT_EQ(record.types.at("numbers"), "fp32");
    for (const char* product : {"16x48x16.forward", "16x48x16.input", "16x48x16.weight",
                                "16x16x64.forward", "16x50x16.weight"})
        EXPECT_GT(record.results.at(product), 0) << product;
}

TEST(GemmRates, FlopsAreThoseOfAWholeStep) {
    StepRequest request = small_request();
    request.gemm = "native";
    const Record record = bench_gemm(request).front();
    // Four products of 16 rows in each of two layers and the head's, three times each (forward and
    // two backward), accumulated three times.
    const double flops = 3 * 3 * 2.0 * 16 * (2 * (48 * 16 + 16 * 16 + 64 * 16 + 16 * 64) + 50 * 16);
    EXPECT_NEAR(record.results.at("gflops") * record.results.at("step_ms") / 1e3 * 1e9, flops,
                1e-6 * flops);
}

TEST(GemmRates, BestIsNoSlowerThanAnyRoute) {
    const std::vector<Record> records = bench_gemm(small_request());
    const double best = find(records, "gemm.best.fp32")->results.at("step_ms");
    for (const char* what : {"gemm.native.fp32", "gemm.aten.fp32"})
        EXPECT_LE(best, find(records, what)->results.at("step_ms")) << what;
}

TEST(GemmRates, RefusesARouteItDoesNotKnow) {
    StepRequest request = small_request();
    request.gemm = "cublas";
    test::expect_error(kUsage, {"cublas"}, [&] { bench_gemm(request); });
}

}  // namespace
}  // namespace knlp::bench
