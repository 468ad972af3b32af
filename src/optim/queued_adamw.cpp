#include "queued_adamw.h"

#include "knlp/core/error.h"

#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <nlohmann/json.hpp>

#include <vector>

namespace knlp::optim {

namespace {

class QueuedAdamW final : public QueuedOptimizer {
public:
    QueuedAdamW(const config::Optimizer& options, std::span<model::Parameter> parameters)
        : options_(options), parameters_(parameters) {
        KNLP_CHECK(!parameters.empty());
        groups_[0].weight_decay = options.weight_decay;
        for (model::Parameter& parameter : parameters) {
            const at::Tensor plain = parameter.value.detach();
            KNLP_CHECK(plain.is_contiguous() && plain.scalar_type() == at::kFloat);
            Group& group = groups_[parameter.spec.decay ? 0 : 1];
            group.members.push_back(&parameter);
            group.exp_avg.push_back(at::zeros_like(plain));
            group.exp_avg_sq.push_back(at::zeros_like(plain));
        }
        updates_ = at::zeros({}, parameters.front().value.options().requires_grad(false));
    }

    StepInfo step(double lr) override {
        const at::Tensor row =
            enqueue(at::full({}, lr, updates_.options()), at::zeros_like(updates_)).to(at::kCPU);
        return outcome({row.const_data_ptr<double>(), static_cast<size_t>(row.numel())});
    }

    at::Tensor enqueue(const at::Tensor& lr, const at::Tensor& loss) override {
        const at::NoGradGuard no_grad;
        const at::Tensor norms = gradient_norms(), norm = norms.square().sum().sqrt();
        const at::Tensor bad =
            at::isfinite(norm).logical_and(at::isfinite(loss)).logical_not().to(at::kFloat);
        const at::Tensor clip = options_.clip_norm > 0
                                    ? (options_.clip_norm / (norm + 1e-6)).clamp_max(1.0)
                                    : at::ones_like(norm);
        std::optional<at::Tensor> divisor;  // what the operator divides gradients by
        if (options_.clip_norm > 0) divisor = clip.reciprocal().to(at::kFloat);
        updates_.add_(1 - bad);
        for (Group& group : groups_) update(group, lr, divisor, bad);
        weights_changed();
        const at::Tensor bad_norms = at::isfinite(norms).logical_not();
        const at::Tensor first =
            at::where(bad_norms.any(), bad_norms.to(at::kInt).argmax(), at::full_like(norm, -1));
        return at::stack({norm, clip, first.to(at::kDouble)});
    }

    StepInfo outcome(std::span<const double> row) const override {
        KNLP_CHECK(row.size() == 3);
        StepInfo info{.grad_norm = row[0], .clip = row[1], .finite = std::isfinite(row[0])};
        if (row[2] >= 0) info.first_bad = parameters_[static_cast<size_t>(row[2])].spec.name;
        return info;
    }

    void weights_changed() override {
        for (model::Parameter& parameter : parameters_)
            parameter.value.unsafeGetTensorImpl()->bump_version();
    }

    std::vector<NamedState> tensors() override {
        std::vector<NamedState> all;
        std::array<size_t, 2> next = {0, 0};
        for (const model::Parameter& parameter : parameters_) {
            const size_t which = parameter.spec.decay ? 0 : 1, i = next[which]++;
            all.push_back({parameter.spec.name, "exp_avg", groups_[which].exp_avg[i]});
            all.push_back({parameter.spec.name, "exp_avg_sq", groups_[which].exp_avg_sq[i]});
        }
        return all;
    }
    std::string scalars() const override { return adamw_scalars(updates_.item<int64_t>()); }
    void load_scalars(const std::string& text) override {
        updates_.fill_(static_cast<double>(read_adamw_scalars(text)));
    }

private:
    struct Group {
        std::vector<model::Parameter*> members;
        std::vector<at::Tensor> exp_avg, exp_avg_sq;
        double weight_decay = 0;
    };

    static at::Tensor gradient_of(model::Parameter& parameter) {
        at::Tensor& gradient = parameter.value.mutable_grad();
        KNLP_CHECK(gradient.defined());
        if (!gradient.is_contiguous()) gradient = gradient.contiguous();
        return gradient;
    }

    /// One of every parameter, in their order, float64.
    at::Tensor gradient_norms() const {
        std::vector<at::Tensor> gradients;
        for (model::Parameter& parameter : parameters_) gradients.push_back(gradient_of(parameter));
        return at::stack(at::_foreach_norm(gradients, 2)).to(at::kDouble);
    }

    void update(Group& group, const at::Tensor& lr, const std::optional<at::Tensor>& divisor,
                const at::Tensor& bad) {
        if (group.members.empty()) return;
        std::vector<at::Tensor> weights, gradients;
        for (model::Parameter* parameter : group.members) {
            weights.push_back(parameter->value.detach());
            gradients.push_back(gradient_of(*parameter));
        }
        // The operator only reads the numbers of updates, and all parameters have the same.
        const std::vector<at::Tensor> updates(weights.size(), updates_);
        at::_fused_adamw_(weights, gradients, group.exp_avg, group.exp_avg_sq, {}, updates, lr,
                          options_.beta1, options_.beta2, group.weight_decay, options_.epsilon,
                          false, false, divisor, bad);
    }

    config::Optimizer options_;
    std::span<model::Parameter> parameters_;
    std::array<Group, 2> groups_;  // decayed, not decayed
    at::Tensor updates_;           // made so far, float32 as the operator wants it; exact to 2^24
};

}  // namespace

std::unique_ptr<Optimizer> make_queued_adamw(const config::Optimizer& options,
                                             std::span<model::Parameter> parameters) {
    return std::make_unique<QueuedAdamW>(options, parameters);
}

std::string adamw_scalars(int64_t steps) {
    return nlohmann::json{{"step", steps}}.dump();
}

int64_t read_adamw_scalars(const std::string& text) {
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer())
        fail(kData, "optimizer state of adamw has no integer 'step'; found {}", text);
    return json["step"].get<int64_t>();
}

}  // namespace knlp::optim
