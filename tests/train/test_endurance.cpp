#include "tiny_run.h"

#include "knlp/core/host.h"
#include "tests/support/run_binary.h"

#include <gtest/gtest.h>

#include <iterator>
#include <sstream>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;

int64_t open_descriptors() {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

/// The small GPT that is compared with other programs, on two threads with our own products.
const Values kSmallGpt = {{"GPT2_N_LAYER", "4"},
                          {"GPT2_N_HEAD", "4"},
                          {"GPT2_N_EMBD", "128"},
                          {"GPT2_BLOCK_SIZE", "64"},
                          {"GPT2_DROPOUT", "0"},
                          {"BATCH_SIZE", "12"},
                          {"GRADIENT_ACCUMULATION", "1"},
                          {"NUM_THREADS", "2"},
                          {"GEMM_ATEN", ""},
                          {"GEMM_NATIVE", "y"}};

Values small_gpt(const Values& changes) {
    Values all = changes;
    all.insert(kSmallGpt.begin(), kSmallGpt.end());
    return all;
}

TEST(EnduranceSlow, DescriptorsStayAndMemoryHardlyGrowsOverTenThousandSteps) {
    TinyRuns runs;
    std::vector<int64_t> descriptors, resident;
    train::TrainRequest request;
    request.on_micro_batch = [&](int64_t step, int64_t) {
        if (step == 0 || step % 1000 != 0) return;
        descriptors.push_back(open_descriptors());
        resident.push_back(resident_bytes());
    };
    // A save is on the disk before the next evaluation. There is one every 500 steps and a save
    // every 480, so that none is under way at a multiple of 1,000; the last step only looks. The
    // thread that reads files of /proc would be met with one open now and then.
    const Values changes = {{"GPT2_MAX_ITERS", "10001"},
                            {"GPT2_LOG_INTERVAL", "10"},
                            {"GPT2_EVAL_INTERVAL", "500"},
                            {"CHECKPOINT_INTERVAL", "480"},
                            {"SYS_MONITOR", "n"}};
    EXPECT_EQ(runs.train("a", small_gpt(changes), request).status, 0);
    ASSERT_EQ(descriptors.size(), 10u);
    for (const int64_t count : descriptors) EXPECT_EQ(count, descriptors.front());
    for (const int64_t bytes : resident)
        EXPECT_LE(bytes, resident.front() + resident.front() / 100) << resident.front();
}

/// What malloc holds at each line of metrics.jsonl, one line a step.
struct Held {
    int64_t live_bytes, large;  // large: allocations of 1 MiB and more so far
};

std::vector<Held> held_by_step(const Values& changes) {
    TinyRuns runs;
    const fs::path shim = binary_directory() / "malloc_shim.so", log = runs.run("malloc.log");
    write_file_atomic(runs.run(".config"),
                      config::Symbols::from_values(runs.values(changes)).dot_config());
    const Finished done =
        run_knlp({"train", "--out", "a"}, runs.path(),
                 {{"LD_PRELOAD", shim.string()}, {"KNLP_MALLOC_LOG", log.string()}});
    EXPECT_EQ(done.status, 0) << done.err;
    std::vector<Held> held;
    std::istringstream lines(read_file(log));
    for (Held one{}; lines >> one.live_bytes >> one.large;) held.push_back(one);
    return held;
}

/// Each step of a run allocates as many large pieces as the one before and leaves as much behind.
void expect_steps_alike(Values changes) {
    changes.merge(Values{{"GPT2_MAX_ITERS", "40"},
                         {"GPT2_LOG_INTERVAL", "1"},
                         {"GPT2_EVAL_INTERVAL", "1000"},
                         {"SAVE_CHECKPOINT", "n"},
                         {"CHECKPOINT_INTERVAL", ""}});
    const std::vector<Held> held = held_by_step(small_gpt(changes));
    ASSERT_GE(held.size(), 41u);  // an evaluation, the steps, and the end
    const Held before = held[11];
    const int64_t large_a_step = held[12].large - before.large;
    for (size_t i = 12; i < 40; ++i) {
        EXPECT_EQ(held[i].large - held[i - 1].large, large_a_step) << "step " << i;
        // Batches fetched ahead are one or two, and lines of text differ in their length.
        EXPECT_NEAR(static_cast<double>(held[i].live_bytes), static_cast<double>(before.live_bytes),
                    64 << 10)
            << "step " << i;
    }
}

// Buffers of 1 MiB and more occur in every part of this model's step.
TEST(Endurance, AStepHoldsAndAllocatesWhatTheOneBeforeDid) {
    if (!fs::exists(knlp_binary())) GTEST_SKIP() << "no binary at " << knlp_binary();
    const Values libraries = {{"GEMM_NATIVE", ""}, {"GEMM_ATEN", "y"}, {"GPT2_DROPOUT", "0.1"}};
    for (const Values& changes : {Values{}, Values{{"MIXED_PRECISION", "y"}}, libraries}) {
        SCOPED_TRACE(changes.empty() ? "fp32" : changes.begin()->first);
        expect_steps_alike(changes);
    }
}

}  // namespace
