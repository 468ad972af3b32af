#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/parallel.h"
#include "knlp/data/batches.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

namespace knlp::data {

struct BatchLoader::State {
    std::mutex mutex;
    std::condition_variable filled, emptied;
    std::deque<Batch> ready;
    std::exception_ptr error;  // of the thread; next() throws it after what is ready
    bool stop = false;
    double waited_s = 0;
    size_t ahead = 2;
    std::thread thread;  // last: started when all else is there
};

BatchLoader::BatchLoader(const TokenFile& tokens, uint64_t seed, int64_t first_step, int64_t rows,
                         int64_t accumulation, int64_t n_ctx, int64_t ahead)
    : state_(std::make_unique<State>()) {
    KNLP_CHECK(rows >= 1 && accumulation >= 1 && ahead >= 1 && first_step >= 0);
    require_window(tokens, n_ctx);
    State& state = *state_;
    state.ahead = static_cast<size_t>(ahead);
    state.thread = std::thread([&state, &tokens, seed, first_step, rows, accumulation, n_ctx] {
        block_signals();
        try {
            for (int64_t index = first_step * accumulation;; ++index) {
                Batch batch = make_batch(tokens, seed, index / accumulation,
                                         index % accumulation * rows, rows, n_ctx);
                std::unique_lock lock(state.mutex);
                state.emptied.wait(lock,
                                   [&] { return state.stop || state.ready.size() < state.ahead; });
                if (state.stop) return;
                state.ready.push_back(std::move(batch));
                state.filled.notify_one();
            }
        } catch (...) {
            const std::lock_guard lock(state.mutex);
            state.error = std::current_exception();
            state.filled.notify_one();
        }
    });
}

BatchLoader::~BatchLoader() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stop = true;
    }
    state_->emptied.notify_one();
    state_->thread.join();
}

Batch BatchLoader::next() {
    std::unique_lock lock(state_->mutex);
    if (state_->ready.empty() && !state_->error) {
        const double begin = steady_seconds();
        state_->filled.wait(lock, [&] { return !state_->ready.empty() || state_->error; });
        state_->waited_s += steady_seconds() - begin;
    }
    if (state_->ready.empty()) std::rethrow_exception(state_->error);
    Batch batch = std::move(state_->ready.front());
    state_->ready.pop_front();
    state_->emptied.notify_one();
    return batch;
}

double BatchLoader::waited_seconds() const {
    const std::lock_guard lock(state_->mutex);
    return state_->waited_s;
}

}  // namespace knlp::data
