// The runner of one machine: which cell is started when, and what becomes of it.

#include "runner.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/core/text.h"
#include "knlp/matrix/cell_table.h"
#include "knlp/matrix/estimate.h"
#include "knlp/matrix/journal.h"

#include <nlohmann/json.hpp>

#include <fnmatch.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;

constexpr double kLook_s = 1;    // between looks at cells that run elsewhere
constexpr double kRedraw_s = 1;  // of the table: metrics are read for it

int64_t threads_of(const Plan& plan, const Cell& cell) {
    return std::max<int64_t>(1, plan.arm(cell.arm).choices.threads);
}

int64_t most_threads(const Plan& plan) {
    int64_t most = 1;
    for (const Arm& arm : plan.arms) most = std::max(most, arm.choices.threads);
    return most;
}

/// Wrong usage, data and what is not available fail in the same way again.
bool hopeless(int status) {
    return status == 2 || status == 3 || status == 5 || status == 70 || status == 127;
}

}  // namespace

int64_t slots_here(const Plan& plan, int64_t jobs) {
    const int64_t wanted = jobs > 0 ? jobs : plan.jobs;
    const std::vector<std::string> gpus = own_gpus(plan.device);
    const int64_t room = !gpus.empty()
                             ? std::ssize(gpus)
                             : std::max<int64_t>(1, std::ssize(own_cores()) / most_threads(plan));
    return wanted > 0 ? std::min(wanted, room) : room;
}

std::vector<size_t> matching_cells(const Plan& plan, const std::string& glob) {
    std::vector<size_t> found;
    for (size_t i = 0; i < plan.cells.size(); ++i)
        if (glob.empty() || ::fnmatch(glob.c_str(), plan.cells[i].id.c_str(), 0) == 0)
            found.push_back(i);
    if (found.empty())
        fail(kUsage, "--cells '{}': no cell of '{}' has such an id; the first is {}", glob,
             plan.name, plan.cells.front().id);
    return found;
}

StopSignals::StopSignals() {
    sigset_t taken;
    sigemptyset(&taken);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&taken, signal);
    fd = ::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) fail_code(kRun, "E_RUN", "signalfd: {}", std::strerror(errno));
    ::sigprocmask(SIG_BLOCK, &taken, &before);
}

StopSignals::~StopSignals() {
    ::close(fd);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

Runner::Runner(const fs::path& matrix, const Plan& plan, const RunnerOptions& options)
    : matrix_(matrix),
      plan_(plan),
      options_(options),
      slots_(slots_here(plan, options.jobs)),
      places_(matrix, own_cores(), own_gpus(plan.device), slots_),
      memory_(plan) {
    begin_s_ = counted_s_ = looked_s_ = steady_seconds();
    states_ = cell_states(matrix, plan);
    for (const size_t at : matching_cells(plan, options.cells)) {
        Task task{.cell = &plan.cells[at], .at = at, .reason = "", .child = {}};
        if (states_[at].stage == Stage::kForeign) fail(kLocked, "{}", states_[at].reason);
        if (options.again) task.forgiven = states_[at].failures;
        if (states_[at].peak_rss_bytes)
            memory_.measured(task.cell->arm, *states_[at].peak_rss_bytes);
        classify(task);
        tasks_.push_back(std::move(task));
    }
}

/// What is to be done with a cell that does not run here.
void Runner::classify(Task& task) {
    const CellState& state = states_[task.at];
    const bool another = state.exit_code && hopeless(*state.exit_code)
                             ? !task.settled  // its cause may be gone
                             : state.failures - task.forgiven <= plan_.max_retries;
    switch (state.stage) {
        case Stage::kDone:
            task.phase = Task::Phase::kDone;
            break;
        case Stage::kRunning:
            task.phase = Task::Phase::kElsewhere;
            break;
        case Stage::kDiverged:
            return fail_task(task, "diverged: " + state.reason);
        case Stage::kForeign:
            return fail_task(task, state.reason);
        case Stage::kFailed:
            if (!another) return fail_task(task, state.reason);
            task.phase = Task::Phase::kWaiting;
            break;
        case Stage::kStale:
        case Stage::kResumable:
        case Stage::kFresh:
            task.phase = Task::Phase::kWaiting;
            break;
    }
}

void Runner::fail_task(Task& task, const std::string& reason) {
    task.phase = Task::Phase::kFailed;
    task.settled = true;
    task.reason = reason;
}

int64_t Runner::count(Task::Phase phase) const {
    return std::count_if(tasks_.begin(), tasks_.end(),
                         [phase](const Task& task) { return task.phase == phase; });
}

bool Runner::unfinished() const {
    if (count(Task::Phase::kHere) > 0) return true;
    if (stopped_by_ != 0) return false;
    return count(Task::Phase::kElsewhere) > 0 || (!no_more_ && count(Task::Phase::kWaiting) > 0);
}

RunnerOutcome Runner::run() {
    say(fmt::format("{}: {} cells, {}; {} at once", plan_.name, tasks_.size(), counts_text(states_),
                    slots_));
    while (unfinished()) {
        start_what_fits();
        count_idle();
        show();
        if (unfinished()) wait_for_something();
    }
    table_.clear();
    const RunnerOutcome result = outcome();
    note_event(matrix_, "run",
               {{"host", host().hostname},
                {"slots", slots_},
                {"cells", result.cells},
                {"failed", result.failures.size()},
                {"status", result.status},
                {"wall_s", result.wall_s},
                {"cell_wall_s", result.cell_wall_s},
                {"overhead", std::isfinite(result.overhead) ? nlohmann::json(result.overhead)
                                                            : nlohmann::json()}});
    return result;
}

RunnerOutcome Runner::outcome() const {
    RunnerOutcome result{.failures = {}, .cells = finished_};
    for (const Task& task : tasks_)
        if (task.phase == Task::Phase::kFailed)
            result.failures.push_back({task.cell->id, task.reason});
    const bool all_done = count(Task::Phase::kDone) == std::ssize(tasks_);
    result.status = stopped_by_ != 0 ? stop_exit_status(stopped_by_) : all_done ? 0 : 4;
    result.wall_s = steady_seconds() - begin_s_;
    result.cell_wall_s = cell_wall_s_;
    result.overhead = cell_wall_s_ > 0 ? idle_s_ / cell_wall_s_ : kUnknown;
    return result;
}

/// Slots that had a cell to run and ran none, since the last call.
void Runner::count_idle() {
    const double now = steady_seconds();
    const int64_t here = count(Task::Phase::kHere), waiting = count(Task::Phase::kWaiting);
    if (stopped_by_ == 0 && !no_more_ && !blocked_)
        idle_s_ += (now - counted_s_) *
                   static_cast<double>(std::max<int64_t>(0, std::min(slots_ - here, waiting)));
    counted_s_ = now;
}

void Runner::start_what_fits() {
    blocked_ = false;
    if (stopped_by_ != 0) return;
    for (Task& task : tasks_) {
        if (no_more_ || blocked_ || count(Task::Phase::kHere) >= slots_) return;
        if (task.phase != Task::Phase::kWaiting) continue;
        // Another runner may have been quicker.
        states_[task.at] = cell_state(matrix_, *task.cell);
        classify(task);
        if (task.phase == Task::Phase::kWaiting && !start(task)) blocked_ = true;
    }
}

bool Runner::memory_admits(const Task& task, int64_t& needed) const {
    std::vector<Reservation> running;
    for (const Task& other : tasks_)
        if (other.phase == Task::Phase::kHere)
            running.push_back({other.reserved, resident_bytes_of(other.child)});
    const int64_t available = available_memory_bytes();
    // Of one that is not known, an equal share of the machine is asked.
    needed = memory_.needed(task.cell->arm).value_or(host().memory_bytes / slots_);
    return fits_beside(running, needed, available);
}

bool Runner::start(Task& task) {
    if (!memory_admits(task, task.reserved)) return false;
    const std::optional<Place> place = places_.take(threads_of(plan_, *task.cell));
    if (!place) return false;
    const Build& build = plan_.build(plan_.arm(task.cell->arm).build);
    std::vector<std::string> command = {
        (matrix_ / build.path).string(), "matrix", "run-cell", matrix_.string(), "--index",
        std::to_string(task.cell->index)};
    if (options_.allow_drift) command.push_back("--allow-drift");
    // What wait_briefly() would set by starting each cell twice.
    std::map<std::string, std::string> environment = {{"GOMP_SPINCOUNT", "20000"}};
    if (!place->gpu.empty()) environment["CUDA_VISIBLE_DEVICES"] = place->gpu;
    task.step_before = states_[task.at].step;
    task.started_s = steady_seconds();
    task.child = start_child(command, environment, *place,
                             matrix_ / "logs" / (task.cell->id + ".log"), signals_.before);
    count_idle();  // up to here the slot had none
    task.phase = Task::Phase::kHere;
    states_[task.at].stage = Stage::kRunning;
    const bool retry = states_[task.at].attempts > 0;
    note_event(matrix_, retry ? "retry" : "start",
               {{"cell", task.cell->id},
                {"attempt", states_[task.at].attempts + 1},
                {"pid", task.child.pid},
                {"host", host().hostname},
                {"cores", place->cores}});
    say(fmt::format("{}: {}", task.cell->id,
                    states_[task.at].checkpoint ? "goes on"
                    : retry                     ? "begins again"
                                                : "begins"));
    return true;
}

void Runner::wait_for_something() {
    std::vector<pollfd> watched = {{signals_.fd, POLLIN, 0}};
    for (const Task& task : tasks_)
        if (task.phase == Task::Phase::kHere) watched.push_back({task.child.pidfd, POLLIN, 0});
    double wait_s = -1;  // until something happens
    const auto at_most = [&wait_s](double s) {
        s = std::max(s, 0.0);
        wait_s = wait_s < 0 ? s : std::min(wait_s, s);
    };
    const double now = steady_seconds();
    if (table_.active()) at_most(shown_s_ + kRedraw_s - now);
    if (count(Task::Phase::kElsewhere) > 0 || blocked_) at_most(kLook_s);
    if (stopped_by_ != 0) at_most(kill_at_s_ - now);
    ::poll(watched.data(), watched.size(),
           wait_s < 0 ? -1 : static_cast<int>(std::ceil(1000 * wait_s)));
    count_idle();
    take_signals();
    kill_late_ones();
    size_t next = 1;
    for (Task& task : tasks_) {
        if (task.phase != Task::Phase::kHere) continue;
        if ((watched[next++].revents & POLLIN) != 0) ended(task, reap(task.child));
    }
    look_elsewhere();
}

void Runner::take_signals() {
    signalfd_siginfo info{};
    while (::read(signals_.fd, &info, sizeof info) == sizeof info)
        stop_by(static_cast<int>(info.ssi_signo));
}

void Runner::stop_by(int signal) {
    const bool at_once = stopped_by_ != 0 && signal == SIGINT;
    if (stopped_by_ == 0) {
        stopped_by_ = signal;
        kill_at_s_ = steady_seconds() + options_.grace_s;
        say(fmt::format("stopping: {} cells save and end; Ctrl-C again ends them at once",
                        count(Task::Phase::kHere)));
    } else if (!at_once) {
        return;
    }
    for (const Task& task : tasks_) send_signal(task.child, at_once ? SIGKILL : SIGTERM);
}

void Runner::kill_late_ones() {
    if (stopped_by_ == 0 || steady_seconds() < kill_at_s_) return;
    for (const Task& task : tasks_) send_signal(task.child, SIGKILL);
    kill_at_s_ = steady_seconds() + options_.grace_s;
}

void Runner::ended(Task& task, int status) {
    const double wall_s = steady_seconds() - task.started_s;
    cell_wall_s_ += wall_s;
    CellState& state = states_[task.at];
    state = cell_state(matrix_, *task.cell);
    note_event(matrix_, "end",
               {{"cell", task.cell->id},
                {"attempt", state.attempts},
                {"status", status},
                {"wall_s", wall_s},
                {"state", name_of(state.stage)}});
    task.phase = Task::Phase::kWaiting;
    if (state.stage == Stage::kDone) {
        task.phase = Task::Phase::kDone;
        ++finished_;
        if (state.peak_rss_bytes) memory_.measured(task.cell->arm, *state.peak_rss_bytes);
        say(fmt::format("{}: done in {}, loss {:.4f}; {}", task.cell->id, duration_text(wall_s),
                        state.loss, counts_text(states_)));
        return;
    }
    if (stopped_by_ != 0) return;
    if (status == exit_status(kLocked) || state.stage == Stage::kRunning) {
        task.phase = Task::Phase::kElsewhere;
        return;
    }
    const std::string reason = !state.reason.empty() ? state.reason
                               : status == 127       ? "its binary cannot be started"
                                                     : fmt::format("ended with status {}", status);
    const bool again = try_again(task, status);
    if (!again) fail_task(task, reason);
    no_more_ = no_more_ || (!again && plan_.stop_on_failure);
    say(fmt::format("{}: {} (status {}): {}; see logs/{}.log", task.cell->id,
                    again ? "will be tried again" : "failed", status, reason, task.cell->id));
}

bool Runner::try_again(Task& task, int status) {
    const CellState& state = states_[task.at];
    if (state.stage == Stage::kDiverged || state.stage == Stage::kForeign || hopeless(status))
        return false;
    if (state.stage == Stage::kFailed) return state.failures - task.forgiven <= plan_.max_retries;
    // Killed or stopped by someone else. One that gets on with each try will get there.
    if (state.step <= task.step_before) ++task.tries;
    return task.tries <= plan_.max_retries;
}

void Runner::look_elsewhere() {
    const double now = steady_seconds();
    if (now - looked_s_ < kLook_s) return;
    looked_s_ = now;
    for (Task& task : tasks_) {
        if (task.phase != Task::Phase::kElsewhere) continue;
        states_[task.at] = cell_state(matrix_, *task.cell);
        classify(task);
    }
}

void Runner::show() {
    if (!table_.active() || steady_seconds() - shown_s_ < kRedraw_s) return;
    shown_s_ = steady_seconds();
    for (const Task& task : tasks_)
        if (task.phase == Task::Phase::kHere) {
            states_[task.at] = claimed_cell_state(matrix_, *task.cell);
            states_[task.at].stage = Stage::kRunning;
        }
    table_.draw(live_lines(plan_, states_, time_left(plan_, states_, slots_), table_.width(),
                           table_.height()));
}

void Runner::say(const std::string& text) {
    table_.clear();
    log::info("{}", text);
    shown_s_ = 0;  // the table is drawn again below it
}

RunnerOutcome run_local(const fs::path& matrix, const Plan& plan, const RunnerOptions& options) {
    return Runner(matrix, plan, options).run();
}

}  // namespace knlp::matrix
