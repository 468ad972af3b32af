#pragma once

#include "knlp/model/parameter.h"
#include "knlp/optim/named_state.h"
#include "knlp/optim/optimizer.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace knlp::optim {

/// Limit theta * (exp_avg_sq + floor) on the square of each gradient element; theta 0: none.
struct ElementClip {
    double theta = 0, floor = 0;
};

/// Norms of all gradients together, in double.
struct GradientNorms {
    double raw = 0, clipped = 0;  // before and after the element clip
    int64_t n_clipped = 0;
    std::string first_bad;  // first parameter whose gradient is not finite, or ""
};

/// One update, the same for all parameters but for the decay.
struct Update {
    ElementClip clip;
    double grad_scale = 1;  // factor of the global-norm clip
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    double lr = 0;             // decay uses it unscaled
    double step_scale = 1;     // factor on lr for the step itself
    int64_t bias_steps = 1;    // updates counted by the bias correction, this one included
    bool decay_after = false;  // decay after the step instead of before
};

/// First and second moment of every parameter, and the passes over them. On the CPU a kernel of our
/// own runs over blocks of fixed size, so results do not depend on the number of threads.
class Moments {
public:
    Moments(std::span<model::Parameter> parameters, double weight_decay, bool amsgrad);

    GradientNorms norms(const ElementClip& clip);
    void update(const Update& update);
    void zero();
    /// exp_avg *= first, exp_avg_sq *= second.
    void scale(double first, double second);
    std::vector<NamedState> tensors();

private:
    struct Slot {
        model::Parameter* parameter = nullptr;
        at::Tensor exp_avg, exp_avg_sq, max_exp_avg_sq;
        double weight_decay = 0;
    };
    struct Block {
        size_t slot = 0;
        int64_t begin = 0, count = 0;
    };
    std::vector<Slot> slots_;
    std::vector<Block> blocks_;  // of the slots on the CPU
};

/// min(1, limit / (norm + 1e-6)); 1 when limit is 0.
double clip_factor(double norm, double limit);

}  // namespace knlp::optim
