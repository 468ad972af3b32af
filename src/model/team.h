#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>

namespace knlp::model {

/// Where the threads of a team meet. A token takes dozens of meetings, each shorter than waking a
/// thread: hence waiting by looking, and sleeping only when somebody is very late.
class Barrier {
public:
    void wait(int64_t workers) {
        const uint32_t round = round_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == workers) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            round_.notify_all();
            return;
        }
        for (int64_t i = 0; i < kLooks; ++i) {
            if (round_.load(std::memory_order_acquire) != round) return;
            __builtin_ia32_pause();
        }
        while (round_.load(std::memory_order_acquire) == round) round_.wait(round);
    }

private:
    static constexpr int64_t kLooks = 20000;
    // A cache line each: those who look must not disturb those who arrive.
    alignas(64) std::atomic<int64_t> arrived_ = 0;
    alignas(64) std::atomic<uint32_t> round_ = 0;
};

/// One thread of a team, as its work sees it.
struct Worker {
    int64_t index = 0, count = 1;
    Barrier* barrier = nullptr;

    /// Returns when all workers have called it; what they wrote before is seen after.
    void meet() const {
        if (count > 1) barrier->wait(count);
    }

    struct Range {
        int64_t first = 0, last = 0;
    };
    /// This worker's part of n items, in runs of `grain`.
    Range share(int64_t n, int64_t grain = 1) const {
        const int64_t runs = (n + grain - 1) / grain;
        const auto at = [&](int64_t i) { return std::min(n, runs * i / count * grain); };
        return {at(index), at(index + 1)};
    }
};

/// Runs `work` once on each of at most team_size() threads at the same time; 1 inside another
/// parallel region. Work must not throw.
void run_team(const std::function<void(const Worker&)>& work);
/// The most workers that run_team starts.
int64_t team_size();

}  // namespace knlp::model
