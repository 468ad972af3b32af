#include "knlp/core/host.h"
#include "knlp/model/runtime.h"
#include "tests/support/expect_error.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

namespace knlp::model {
namespace {

class Runtime : public testing::Test {
protected:
    ~Runtime() override { start_runtime({.threads = 1}); }
};

TEST_F(Runtime, OneOpenMpRuntimeServesLibTorchAndUs) {
    start_runtime({.threads = 2});
    const at::Tensor product = at::mm(at::ones({256, 256}), at::ones({256, 256}));
    EXPECT_EQ(product.sum().item<double>(), 256.0 * 256 * 256);
    EXPECT_EQ(openmp_runtimes(), 1);
}

TEST_F(Runtime, ParallelWorkRunsOnAsManyThreadsAsAsked) {
    start_runtime({.threads = 2});
    EXPECT_EQ(runtime_threads(), 2);
    std::mutex mutex;
    std::set<std::thread::id> ids;
    at::parallel_for(0, 2, 1, [&](int64_t, int64_t) {
        const std::lock_guard lock(mutex);
        ids.insert(std::this_thread::get_id());
    });
    EXPECT_EQ(ids.size(), 2u);
}

TEST_F(Runtime, NoThreadsMeansTheUsableCores) {
    start_runtime({});
    EXPECT_EQ(runtime_threads(), usable_cores());
}

TEST(Devices, CpuIsAlwaysThereAndNonsenseIsRefused) {
    EXPECT_EQ(resolve_device("cpu"), Device());
    test::expect_error(kUsage, {"device 'tpu'", "auto, cpu, cuda"}, [] { resolve_device("tpu"); });
    test::expect_error(kUsage, {"cuda:x", "number"}, [] { resolve_device("cuda:x"); });
    test::expect_error(kUsage, {"cuda:-1"}, [] { resolve_device("cuda:-1"); });
}

TEST(Devices, CudaWithoutDriverIsNotAvailable) {
    if (host().gpu_driver != "") GTEST_SKIP() << "this machine has a GPU driver";
    EXPECT_EQ(resolve_device("auto"), Device());
    test::expect_error(kNotAvailable, {"no CUDA device (driver not found)"},
                       [] { resolve_device("cuda"); });
    test::expect_error(kNotAvailable, {"no CUDA device (driver not found)"},
                       [] { resolve_device("cuda:1"); });
}

TEST_F(Runtime, NamesTheLibTorchVersion) {
    EXPECT_TRUE(torch_version().starts_with("2.")) << torch_version();
}

}  // namespace
}  // namespace knlp::model
