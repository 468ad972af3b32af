#pragma once

#include "knlp/config/train.h"
#include "knlp/model/parameter.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::optim {

/// State that belongs to one parameter, by the suffix it has in optim.safetensors: "exp_avg",
/// "exp_avg_sq", "max_exp_avg_sq".
struct NamedState {
    std::string parameter, suffix;
    at::Tensor value;
};

/// What a step did to the gradients.
struct StepInfo {
    double grad_norm = 0;   // before clipping
    double clip = 1;        // factor applied by the global-norm clip
    bool finite = true;     // false: the update was skipped
    std::string first_bad;  // first parameter with a non-finite gradient
};

class Optimizer {
public:
    virtual ~Optimizer() = default;
    /// Order of pruning.md 3.8: SPAM clip / z-score, global-norm clip, update at rate lr. Gradients
    /// are read from the parameters and left as they are for the caller to clear. AdamW on the CPU
    /// moves 32 bytes a parameter: 4 read for the norm, 16 read and 12 written by the update.
    virtual StepInfo step(double lr) = 0;
    virtual std::vector<NamedState> tensors() = 0;
    /// Scalars (step counters, SPAM history) as JSON text, restored exactly.
    virtual std::string scalars() const = 0;
    virtual void load_scalars(const std::string& json) = 0;
};

struct OptimizerType {
    std::string_view name, symbol, summary;
    /// Tensors kept for each parameter, for the memory estimate: 2, or 3 with AMSGrad.
    int64_t (*state_tensors)(const config::Optimizer&);
    std::unique_ptr<Optimizer> (*make)(const config::Optimizer&, std::span<model::Parameter>);
};
std::span<const OptimizerType* const> optimizer_types();
const OptimizerType& optimizer_type(std::string_view name);

/// Groups as logged: decayed and not decayed, each tensor once even when two names share its
/// storage.
struct Group {
    std::string name;
    int64_t tensors = 0, elements = 0;
    double weight_decay = 0;
};
std::vector<Group> parameter_groups(std::span<const model::Parameter> parameters,
                                    double weight_decay);

}  // namespace knlp::optim
