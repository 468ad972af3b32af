#include "knlp/track/system_stats.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/core/parallel.h"
#include "system_sampler.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <new>
#include <stop_token>
#include <thread>

namespace knlp::track {

struct SystemStats::State {
    AppendFile file;
    double period_s, begin_s;  // begin_s: on the steady clock, elapsed 0
    std::mutex mutex;
    std::condition_variable_any wake;
    std::jthread thread;  // last: it is asked to stop and waited for before the rest goes

    void write_until(const std::stop_token& stop);
};

void SystemStats::State::write_until(const std::stop_token& stop) {
    // Drivers' libraries may take seconds to begin; it is not the run that waits for them.
    std::vector<std::unique_ptr<GpuMonitor>> monitors;
    monitors.push_back(open_nvml());
    monitors.push_back(open_rocm_smi());
    SystemSampler sampler(std::move(monitors));
    std::unique_lock lock(mutex);
    do {
        nlohmann::json line = sampler.sample();
        line["elapsed_s"] = std::round(1e3 * (steady_seconds() - begin_s)) / 1e3;
        file.append(canonical_json(line) + "\n");
        wake.wait_for(lock, stop, std::chrono::duration<double>(period_s), [] { return false; });
    } while (!stop.stop_requested());
}

SystemStats::SystemStats(const RunDir& run, double period_s, double elapsed_s) {
    if (period_s <= 0) return;
    try {
        state_ = std::unique_ptr<State>(new State{.file = AppendFile(run.file("sys_stats.jsonl")),
                                                  .period_s = period_s,
                                                  .begin_s = steady_seconds() - elapsed_s});
        state_->thread = std::jthread([&state = *state_](const std::stop_token& stop) {
            block_signals();  // they are for the thread that trains
            try {
                state.write_until(stop);
            } catch (const std::bad_alloc&) {
                // To say so would need memory as well, and the run says it if it is short of it.
            } catch (const std::exception& error) {
                log::warn("system statistics are no longer written: {}", error.what());
            }
        });
    } catch (const std::exception& error) {
        log::warn("system statistics are not written: {}", error.what());
    }
}

SystemStats::~SystemStats() = default;

}  // namespace knlp::track
