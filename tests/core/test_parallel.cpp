#include "knlp/core/parallel.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace knlp {
namespace {

TEST(ParallelFor, EveryItemRunsExactlyOnce) {
    for (const int64_t threads : {-1, 0, 1, 2, 3, 8, 100}) {
        for (const int64_t n : {0, 1, 2, 7, 1000}) {
            std::vector<std::atomic<int>> counts(static_cast<size_t>(n));
            parallel_for(threads, n, [&](int64_t i) { ++counts[static_cast<size_t>(i)]; });
            for (const auto& count : counts) ASSERT_EQ(count, 1);
        }
    }
}

TEST(ParallelFor, OneThreadMeansTheCallingThread) {
    parallel_for(1, 10, [caller = std::this_thread::get_id()](int64_t) {
        EXPECT_EQ(std::this_thread::get_id(), caller);
    });
}

TEST(ParallelFor, TheErrorOfTheLowestItemComesOut) {
    for (const int64_t threads : {1, 2, 8}) {
        for (int repeat = 0; repeat < 20; ++repeat) {
            try {
                parallel_for(threads, 100, [](int64_t i) {
                    if (i % 7 == 3) throw std::runtime_error(std::to_string(i));
                });
                FAIL() << "no error";
            } catch (const std::runtime_error& error) {
                EXPECT_STREQ(error.what(), "3");
            }
        }
    }
}

TEST(ParallelFor, WorkersBlockSignals) {
    std::atomic<int> open{0};
    parallel_for(4, 64, [&, caller = std::this_thread::get_id()](int64_t) {
        if (std::this_thread::get_id() == caller) return;
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) open += sigismember(&mask, signal) == 0;
    });
    EXPECT_EQ(open, 0);
}

}  // namespace
}  // namespace knlp
