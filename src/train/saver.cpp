#include "saver.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/parallel.h"

#include <atomic>
#include <thread>

namespace knlp::train {

struct Saver::State {
    Outcome outcome;
    std::atomic<bool> done{false};
    std::thread thread;
};

Saver::Saver() : state_(std::make_unique<State>()) {}

Saver::~Saver() {
    if (state_->thread.joinable()) state_->thread.join();
}

bool Saver::busy() const {
    return state_->thread.joinable();
}

void Saver::start(int64_t step, std::function<void()> work) {
    KNLP_CHECK(!busy());
    State& state = *state_;
    state.outcome = {.step = step, .error = nullptr, .seconds = 0};
    state.done = false;
    state.thread = std::thread([&state, work = std::move(work)]() mutable {
        block_signals();  // they are for the thread that trains
        const double begin = steady_seconds();
        try {
            work();
        } catch (...) {
            state.outcome.error = std::current_exception();
        }
        state.outcome.seconds = steady_seconds() - begin;
        work = nullptr;  // the copies go before the outcome is known
        state.done = true;
    });
}

std::optional<Saver::Outcome> Saver::collect(bool wait) {
    State& state = *state_;
    if (!busy() || (!wait && !state.done)) return std::nullopt;
    state.thread.join();
    return state.outcome;
}

}  // namespace knlp::train
