#pragma once

#include "knlp/config/train.h"
#include "knlp/model/gpt2.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::optim {

struct NamedState;

/// What a step did to the gradients.
struct StepInfo {
    double grad_norm = 0;   // before clipping
    double clip = 1;        // factor applied by the global-norm clip
    bool finite = true;     // false: the update was skipped
    std::string first_bad;  // first parameter with a non-finite gradient
};

class QueuedOptimizer;

class Optimizer {
public:
    virtual ~Optimizer() = default;
    /// Itself, when it can take steps without waiting for the device; else null.
    virtual QueuedOptimizer* queued() { return nullptr; }
    /// Order of pruning.md 3.8: SPAM clip / z-score, global-norm clip, update at rate lr. Gradients
    /// are read from the parameters and left as they are for the caller to clear. AdamW on the CPU
    /// moves 32 bytes a parameter: 4 read for the norm, 16 read and 12 written by the update.
    virtual StepInfo step(double lr) = 0;
    virtual std::vector<NamedState> tensors() = 0;
    /// Scalars (step counters, SPAM history) as JSON text, restored exactly.
    virtual std::string scalars() const = 0;
    virtual void load_scalars(const std::string& json) = 0;
};

/// Steps put on the queue of the parameters' device without waiting for it. step() is one of these
/// whose outcome is waited for.
class QueuedOptimizer : public Optimizer {
public:
    QueuedOptimizer* queued() override { return this; }
    /// `lr` (float32) and `loss` are 0-dim tensors of that device, read when the queue gets there.
    /// Where the gradients or the loss are not finite, nothing is updated. Gradients are scaled by
    /// the clip. Returns what outcome() reads a copy of: [3] float64 on the device.
    virtual at::Tensor enqueue(const at::Tensor& lr, const at::Tensor& loss) = 0;
    virtual StepInfo outcome(std::span<const double> row) const = 0;
    /// Tells whoever keeps copies of weights that these have changed: to be called after an
    /// enqueue() that was recorded in a graph has run again.
    virtual void weights_changed() = 0;
};

struct OptimizerType {
    std::string_view name, symbol, summary;
    /// Tensors kept for each parameter, for the memory estimate: 2, or 3 with AMSGrad.
    int64_t (*state_tensors)(const config::Optimizer&);
    std::unique_ptr<Optimizer> (*make)(const config::Optimizer&, std::span<model::Parameter>);
    /// The same law as a QueuedOptimizer, for devices with a queue; null: there is none.
    std::unique_ptr<Optimizer> (*make_queued)(const config::Optimizer&,
                                              std::span<model::Parameter>) = nullptr;
};
std::span<const OptimizerType* const> optimizer_types();
const OptimizerType& optimizer_type(std::string_view name);
/// The optimizer of options.name. `queued`: its steps wait for nothing where its type has such.
std::unique_ptr<Optimizer> make_optimizer(const config::Optimizer& options,
                                          std::span<model::Parameter> parameters, bool queued);
std::unique_ptr<Optimizer> make_optimizer(const config::Optimizer& options, model::Gpt2& model,
                                          bool queued);

/// Groups as logged: decayed and not decayed, each tensor once even when two names share its
/// storage.
struct Group {
    std::string name;
    int64_t tensors = 0, elements = 0;
    double weight_decay = 0;
};
std::vector<Group> parameter_groups(std::span<const model::Parameter> parameters,
                                    double weight_decay);
std::vector<Group> parameter_groups(model::Gpt2& model, double weight_decay);

}  // namespace knlp::optim
