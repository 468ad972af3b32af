#pragma once

#include "peak_memory.h"
#include "progress.h"
#include "record.h"
#include "saver.h"
#include "session.h"
#include "state.h"

#include "knlp/data/batches.h"
#include "knlp/train/device_steps.h"
#include "knlp/train/evaluator.h"

#include <memory>
#include <optional>
#include <string>

namespace knlp::train {

/// The steps of a run, its evaluations and checkpoints, from `state` until a budget is used up or a
/// signal comes. Signals and the time budget act between micro-batches.
class Loop {
public:
    Loop(Session& session, RunState& state, Recorder& recorder, const TrainRequest& request,
         std::string config_sha256);

    /// Exit status: 0 when a budget is used up, 75 or 130 stopped. What the run came to is recorded
    /// by the caller once all it leaves is written: final_eval(), final_event().
    int run();
    const EvalResult& final_eval() const { return *last_eval_; }
    const FinalEvent& final_event() const { return *final_; }
    /// Ends the run as the signal that came says, to be gone on with. Returns the exit status.
    int stop();

private:
    enum class StepEnd { kDone, kSignal, kTimeUp };
    StepEnd take_step(data::BatchLoader& loader);
    /// The same for a device with a queue: what came of it is known after settle_steps().
    StepEnd enqueue_step(data::BatchLoader& loader);
    /// The next micro-batch of the step, or none when a signal or the time budget comes first.
    std::optional<data::Batch> next_batch(data::BatchLoader& loader, int64_t micro, StepEnd& why);
    void step_taken(double begin);  // at `begin` on the steady clock it started
    void book(const StepOutcome& outcome);
    /// Waits for the steps that are enqueued and books them; nothing to do on the CPU.
    void settle_steps();
    /// Mean loss of the step's micro-batches, gradients accumulated; not finite: later ones are
    /// only fetched. No value when interrupted.
    std::optional<double> accumulate(data::BatchLoader& loader, StepEnd& why);
    void skip_step(const StepOutcome& outcome);
    [[noreturn]] void diverged(const StepOutcome& outcome);
    [[noreturn]] void found_anomaly(int64_t micro, const std::string& tensor);
    /// Saves what the step was to learn from; returns the file.
    std::filesystem::path save_batch(int64_t step) const;
    void log_train(int64_t step, int64_t tokens);
    void show_progress(double loss);

    bool evaluation_due() const;
    EvalResult measure_eval();  // incomplete when a signal comes
    void record_eval(EvalResult result);
    bool evaluate();  // false: a signal came first

    /// save_scheduled(), unless the attempt before was stopped here and saved: then only the event
    /// is due, where it would have come.
    void schedule_save();
    /// Writes a checkpoint from copies while training goes on, or where these do not fit, at once.
    void save_scheduled();
    /// Writes a checkpoint before it returns; going on with it starts from `resume`.
    void save_now(const RunState& resume);
    StateFile state_file(const RunState& resume);
    /// Notices a save that has ended; with `wait` after waiting for it. An error of it surfaces
    /// here.
    void settle_save(bool wait);
    void saved(const Saver::Outcome& outcome);
    void record_saved();  // enters the last scheduled save in the metrics; it is settled

    std::string reached() const;  // budget used up, or ""
    double elapsed() const;
    Cost cost() const;
    int finish(const std::string& reason);
    bool out_of_time() const;
    /// A signal came, or the batch job ends so soon that saving must begin, which then acts as one.
    bool stop_wanted();
    bool job_ends() const;
    int64_t planned_steps() const;

    Session& session_;
    RunState& state_;
    Recorder& recorder_;
    const TrainRequest& request_;
    std::string config_sha256_;
    std::unique_ptr<DeviceSteps> queue_;  // null where steps are waited for
    ProgressLine progress_;
    double start_s_ = 0;    // steady clock at elapsed 0
    double startup_s_ = 0;  // process start to the first step, evaluation before it not counted
    int64_t start_step_ = 0;
    double start_train_s_ = 0;         // spent in steps by earlier attempts
    std::optional<double> job_end_s_;  // wall clock
    double longest_save_s_ = 0;
    int64_t last_saved_ = -1, save_failures_ = 0;
    PeakMemory peak_;
    Saver saver_;
    std::optional<EvalResult> last_eval_;
    std::optional<FinalEvent> final_;
    // Since the last "train" event; times only, so an interruption may lose them.
    Phases spent_;
    int64_t timed_steps_ = 0;
    double step_time_ = 0;
    double lr_ = 0, grad_norm_ = 0, clip_ = 1;                           // of the last step
    double last_train_loss_ = std::numeric_limits<double>::quiet_NaN();  // as last logged
};

}  // namespace knlp::train
