#include "src/train/saver.h"

#include "knlp/core/error.h"
#include "src/train/peak_memory.h"

#include "knlp/core/host.h"

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <future>

namespace {

using namespace knlp;
using namespace knlp::train;

TEST(Saver, OutcomeIsKnownOnceWhenTheWorkHasEnded) {
    Saver saver;
    EXPECT_FALSE(saver.busy());
    EXPECT_FALSE(saver.collect(true).has_value());
    std::promise<void> go;
    saver.start(7, [wait = go.get_future().share()] { wait.get(); });
    EXPECT_TRUE(saver.busy());
    EXPECT_FALSE(saver.collect(false).has_value());
    go.set_value();
    const auto outcome = saver.collect(true);
    ASSERT_TRUE(outcome.has_value());
    EXPECT_EQ(outcome->step, 7);
    EXPECT_FALSE(outcome->error);
    EXPECT_FALSE(saver.busy());
    EXPECT_FALSE(saver.collect(true).has_value());
}

TEST(Saver, ErrorOfTheThreadComesWithTheOutcome) {
    Saver saver;
    saver.start(1, [] { fail_code(kRun, "E_IO", "the disk is full"); });
    const auto outcome = saver.collect(true);
    ASSERT_TRUE(outcome.has_value());
    EXPECT_THROW(std::rethrow_exception(outcome->error), Error);
    saver.start(2, [] {});
    EXPECT_FALSE(saver.collect(true)->error);
}

TEST(Saver, EndWaitsForTheSaveUnderWay) {
    std::promise<void> go;
    std::atomic<bool> written{false};
    std::thread later;
    {
        Saver saver;
        saver.start(1, [&written, wait = go.get_future().share()] {
            wait.get();
            written = true;
        });
        later = std::thread([&go] { go.set_value(); });
    }
    EXPECT_TRUE(written);
    later.join();
}

TEST(Saver, SignalsAreNotForItsThread) {
    Saver saver;
    std::atomic<int> blocked{0};
    saver.start(1, [&blocked] {
        sigset_t mask;
        pthread_sigmask(SIG_BLOCK, nullptr, &mask);
        for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) blocked += sigismember(&mask, signal);
    });
    saver.collect(true);
    EXPECT_EQ(blocked, 3);
}

TEST(PeakMemory, CopiesOfASaveCountForTheWholeOnly) {
    if (!reset_peak_resident()) GTEST_SKIP() << "this kernel does not forget a peak";
    constexpr size_t kBytes = size_t{256} << 20;
    PeakMemory peak;
    const int64_t before = peak.outside_saves();
    peak.save_begins();
    void* copies =
        mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(copies, MAP_FAILED);
    std::memset(copies, 1, kBytes);
    munmap(copies, kBytes);
    EXPECT_LT(peak.outside_saves(), before + int64_t{kBytes} / 2);
    peak.save_ended();
    EXPECT_LT(peak.outside_saves(), before + int64_t{kBytes} / 2);
    EXPECT_GT(peak.overall(), before + int64_t{kBytes} / 2);
}

}  // namespace
