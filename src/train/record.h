#pragma once

#include "knlp/config/train.h"
#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"
#include "preflight.h"
#include "state.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace knlp::train {

/// Milliseconds of a step by phase.
struct Phases {
    double data = 0, forward = 0, backward = 0, optimizer = 0;
};

/// What a "train" event says beside the state of the run.
struct TrainEvent {
    int64_t step = 0, tokens = 0;  // before the step
    double loss = 0;               // mean since the last event
    double lr = 0, grad_norm = 0, clip = 1;
    int64_t bad_steps = 0;
    double tokens_per_s = 0, elapsed_s = 0;
    std::optional<double> mfu;  // share of the device's peak, where that is known
    Phases ms;                  // mean of a step
};

struct EvalEvent {
    int64_t step = 0, tokens = 0, eval_tokens = 0;
    double train_loss = 0;  // mean of the steps since the last evaluation; NaN without
    double val_loss = 0, val_se = 0, seconds = 0, elapsed_s = 0;
    bool best = false;
    std::string batches_sha256;
};

/// What a run cost, for the summary and the manifest.
struct Cost {
    double wall_s = 0, train_s = 0, eval_s = 0, save_s = 0;
    double startup_s = 0;  // of this attempt
    int64_t peak_rss_bytes = 0, peak_rss_outside_saves_bytes = 0;
};

struct FinalEvent {
    int64_t step = 0, tokens = 0, parameters = 0, cache_bytes_per_token = 0;
    double train_loss = 0, val_loss = 0, val_se = 0, bits_per_byte = 0;
    Best best;
    Cost cost;
    std::string exit;  // max_iters max_tokens max_time
};

/// Everything a run writes about itself: metrics.jsonl, the TensorBoard mirror, status.json,
/// manifest.json and summary.json.
class Recorder {
public:
    /// `manifest` is written when begin() is called; `extra` is a JSON object merged into the file.
    Recorder(track::RunDir run, track::Manifest manifest, std::string extra, bool tensorboard);
    ~Recorder();

    const track::RunDir& run() const;
    /// State "running". Metrics are cut to `metrics_offset` bytes first; `notes`, what a resume
    /// changed, are warned of and stand in the manifest from then on.
    void begin(int64_t metrics_offset, const std::vector<std::string>& notes = {});
    /// Manifest and extra are others than the constructor was given; written at once.
    void describe(track::Manifest manifest, const std::string& extra);
    /// Process start to the beginning of the first step, for the manifest when it is written next.
    void started_after(double seconds);
    void train(const TrainEvent& event);
    void eval(const EvalEvent& event);
    void checkpoint(int64_t step);
    void warn(int64_t step, const std::string& text);
    /// Final event, summary and manifest; status "done".
    void finish(const FinalEvent& event);
    /// Status and manifest "preempted" with the signal; the summary says how far it came.
    void stopped(int signal, int exit_code, const RunState& state, const Cost& cost);
    /// Status and manifest "failed", error.txt.
    void failed(int exit_code, const std::string& code, const std::string& text);

    int64_t metrics_bytes() const;
    /// They are on the disk then: a checkpoint counts on them. From any thread.
    void sync_metrics() const;
    /// Renews the heartbeat of status.json when the last is half a minute old.
    void heartbeat();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The parent of this kind in a run's manifest; its path is "" when there is none.
track::Manifest::Parent manifest_parent(const std::filesystem::path& run_directory,
                                        const std::string& kind);

}  // namespace knlp::train
