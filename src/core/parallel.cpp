#include "knlp/core/parallel.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace knlp {

void block_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

void parallel_for(int64_t threads, int64_t n, const std::function<void(int64_t)>& work) {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::exception_ptr error;
    int64_t error_item = n;

    const auto take_items = [&] {
        for (int64_t i = next.fetch_add(1); i < n; i = next.fetch_add(1)) {
            try {
                work(i);
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (i < error_item) {
                    error_item = i;
                    error = std::current_exception();
                }
                next.store(n);
            }
        }
    };
    {
        std::vector<std::jthread> workers;
        const int64_t extra = std::min(threads, n) - 1;
        for (int64_t w = 0; w < extra; ++w)
            workers.emplace_back([&] {
                block_signals();
                take_items();
            });
        take_items();
    }
    if (error) std::rethrow_exception(error);
}

}  // namespace knlp
