#include "tiny_run.h"

#include "knlp/core/host.h"

#include <gtest/gtest.h>

#include <iterator>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;

int64_t open_descriptors() {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

TEST(EnduranceSlow, DescriptorsStayAndMemoryHardlyGrowsOverManySteps) {
    TinyRuns runs;
    std::vector<int64_t> descriptors, resident;
    train::TrainRequest request;
    request.on_micro_batch = [&](int64_t step, int64_t micro) {
        if (micro != 0 || step < 500 || step % 100 != 50) return;  // caches are warm by then
        descriptors.push_back(open_descriptors());
        resident.push_back(resident_bytes());
    };
    const Values changes = {{"GPT2_MAX_ITERS", "2000"},
                            {"GPT2_LOG_INTERVAL", "10"},
                            {"GPT2_EVAL_INTERVAL", "100"},
                            {"CHECKPOINT_INTERVAL", "100"}};
    EXPECT_EQ(runs.train("a", changes, request).status, 0);
    ASSERT_EQ(descriptors.size(), 15u);
    for (const int64_t count : descriptors) EXPECT_EQ(count, descriptors.front());
    // One lost copy of the gradients a step would be 40 MB here.
    EXPECT_LT(resident.back() - resident.front(), 8 << 20);
}

}  // namespace
