#pragma once

#include "batch_plan.h"
#include "preflight.h"
#include "state.h"

#include "knlp/config/data.h"
#include "knlp/config/general.h"
#include "knlp/config/model.h"
#include "knlp/config/train.h"
#include "knlp/data/batches.h"
#include "knlp/data/prepare.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/gpt2.h"
#include "knlp/optim/optimizer.h"
#include "knlp/train/trainer.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace knlp::train {

/// A run being prepared and then run: configuration, data, model, optimizer, and how a step is cut.
struct Session {
    config::General general;
    config::Model model;
    config::Train train;
    config::Optimizer optimizer_options;
    config::Data data;
    Choices choices;
    BatchPlan batch;
    bool batch_of_memory = false;  // chosen here by free memory: may shrink if that was not enough
    model::Device device;
    std::optional<double> peak_flops;  // of the device, a second, for mfu; where it is known
    bool debug_anomaly = false;        // every tensor of a pass is looked at
    bool queued = false;               // steps are enqueued on the device and not waited for
    std::optional<data::Resolved> resolved;
    std::unique_ptr<data::Tokenizer> tokenizer;  // null when none is known
    std::unique_ptr<model::Gpt2> gpt2;
    std::unique_ptr<optim::Optimizer> optimizer;
    std::vector<int64_t> eval_starts;
    std::string eval_sha256;
    MemoryEstimate memory;
    TimeEstimate time;
    int64_t checkpoint_bytes = 0;
    bool background_saves = false;  // there is memory for the copies of a checkpoint
    std::vector<std::string> warnings;

    const data::Dataset& dataset() const { return resolved->dataset; }
    int64_t tokens_per_step() const { return batch.effective() * model.n_ctx; }
    bool bf16() const { return train.precision == config::Precision::kBfloat16; }
};

/// Reads the configuration and settles instruction set, threads and device; no data yet.
Session configure(const config::Symbols& symbols, const TrainRequest& request,
                  const Choices& forced);
/// Finds the data, and the vocabulary and evaluation windows that follow from them.
void find_data(Session& session, const TrainRequest& request);
/// For want of data, a vocabulary of the size they would have.
void assume_vocabulary(Session& session, const TrainRequest& request);

/// Reads the configuration and finds the data; vocabulary size and evaluation windows follow from
/// them. `forced` holds what a checkpoint says, empty for a new run.
Session prepare_session(const config::Symbols& symbols, const TrainRequest& request,
                        const Choices& forced);

/// Cuts a step so that it fits into `available` bytes, of which the process holds `held` already.
void choose_micro_batch(Session& session, int64_t held, int64_t available);
MemoryEstimate memory_of(const Session& session, int64_t micro, int64_t held);

/// Chooses the micro-batch and checks memory and disk, before anything large is allocated.
void plan_resources(Session& session, const TrainRequest& request,
                    const std::filesystem::path& run_directory);

/// Runs the first passes. False when memory ran out in them and a smaller micro-batch may do:
/// shrink_batch() comes next. Other errors, and those after a step was taken, are thrown.
bool first_passes_fit(const Session& session, const RunState& state,
                      const std::function<void()>& passes);

/// Gives model and optimizer back and takes the next smaller micro-batch; the last of
/// session.warnings says so.
void shrink_batch(Session& session);

/// Builds model and optimizer and chooses the GEMM route. Weights are those of the seed.
void build_model(Session& session);

/// Loads the weights of --init-from. Error{kData} when shapes or tokenizers differ.
void load_initial_weights(Session& session, const std::filesystem::path& source);

/// Times a micro-batch of step `step` on the real data and leaves weights, optimizer and data
/// position as they are; fills session.time.
void measure_time(Session& session, const TrainRequest& request, int64_t step, double elapsed_s);

}  // namespace knlp::train
