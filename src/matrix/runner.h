#pragma once

#include "child.h"
#include "lease.h"
#include "live_table.h"
#include "memory_book.h"

#include "knlp/matrix/runner_local.h"

#include <signal.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace knlp::matrix {

/// What a runner knows of one cell.
struct Task {
    enum class Phase { kWaiting, kHere, kElsewhere, kDone, kFailed };
    const Cell* cell = nullptr;
    size_t at = 0;  // in the plan's cells
    Phase phase = Phase::kWaiting;
    int64_t forgiven = 0;     // failures that do not count
    int64_t tries = 0;        // ends without a word and without progress, in this runner
    int64_t step_before = 0;  // of the attempt that runs
    bool settled = false;     // tried here, and to no avail
    std::string reason;
    Child child;
    double started_s = 0;  // steady clock
    int64_t reserved = 0;  // bytes
};

/// SIGINT, SIGTERM and SIGUSR1, taken off the process while it lives.
struct StopSignals {
    StopSignals();
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;
    sigset_t before{};  // signal mask of the process
    int fd = -1;        // signalfd
};

/// One run of a runner.
class Runner {
public:
    Runner(const std::filesystem::path& matrix, const Plan& plan, const RunnerOptions& options);
    RunnerOutcome run();

private:
    void classify(Task& task);
    void start_what_fits();
    bool start(Task& task);
    bool memory_admits(const Task& task, int64_t& needed) const;
    void wait_for_something();
    void take_signals();
    void stop_by(int signal);
    void kill_late_ones();
    void ended(Task& task, int status);
    bool try_again(Task& task, int status);
    void look_elsewhere();
    void fail_task(Task& task, const std::string& reason);
    void count_idle();
    void show();
    void say(const std::string& text);
    bool unfinished() const;
    int64_t count(Task::Phase phase) const;
    RunnerOutcome outcome() const;

    const std::filesystem::path& matrix_;
    const Plan& plan_;
    const RunnerOptions& options_;
    StopSignals signals_;
    int64_t slots_;
    Places places_;
    MemoryBook memory_;
    std::vector<CellState> states_;  // of plan.cells
    std::vector<Task> tasks_;        // those wanted
    LiveTable table_;
    int stopped_by_ = 0;
    double kill_at_s_ = 0;
    bool no_more_ = false;  // a failure stops the rest
    bool blocked_ = false;  // what is free does not do for another cell
    double begin_s_ = 0, counted_s_ = 0, looked_s_ = 0, shown_s_ = 0;
    double idle_s_ = 0, cell_wall_s_ = 0;
    int64_t finished_ = 0;
};

}  // namespace knlp::matrix
