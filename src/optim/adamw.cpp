#include "moments.h"
#include "queued_adamw.h"

#include <cmath>

namespace knlp::optim {

namespace {

/// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101): w *= 1 - lr decay, then
/// w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + epsilon), after the global-norm clip.
class AdamW final : public Optimizer {
public:
    AdamW(const config::Optimizer& options, std::span<model::Parameter> parameters)
        : options_(options), moments_(parameters, options.weight_decay, false) {}

    StepInfo step(double lr) override {
        const GradientNorms norms = moments_.norms({});
        StepInfo info{.grad_norm = norms.raw};
        if (!std::isfinite(norms.raw)) {
            info.finite = false;
            info.first_bad = norms.first_bad;
            return info;
        }
        info.clip = clip_factor(norms.raw, options_.clip_norm);
        moments_.update({.grad_scale = info.clip,
                         .beta1 = options_.beta1,
                         .beta2 = options_.beta2,
                         .epsilon = options_.epsilon,
                         .lr = lr,
                         .bias_steps = ++steps_});
        return info;
    }

    std::vector<NamedState> tensors() override { return moments_.tensors(); }
    std::string scalars() const override { return adamw_scalars(steps_); }
    void load_scalars(const std::string& text) override { steps_ = read_adamw_scalars(text); }

private:
    config::Optimizer options_;
    Moments moments_;
    int64_t steps_ = 0;  // updates made
};

std::unique_ptr<Optimizer> make(const config::Optimizer& options,
                                std::span<model::Parameter> parameters) {
    return std::make_unique<AdamW>(options, parameters);
}

int64_t state_tensors(const config::Optimizer&) {
    return 2;
}

}  // namespace

extern const OptimizerType optim_adamw;
const OptimizerType optim_adamw = {.name = "adamw",
                                   .symbol = "OPTIMIZER_SELECT_ADAMW",
                                   .summary = "Adam with decoupled weight decay",
                                   .state_tensors = state_tensors,
                                   .make = make,
                                   .make_queued = make_queued_adamw};

}  // namespace knlp::optim
