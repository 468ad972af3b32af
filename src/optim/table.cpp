#include "knlp/core/error.h"
#include "knlp/model/parameter.h"
#include "knlp/optim/optimizer.h"

#include <algorithm>

namespace knlp::optim {

#define X(name) extern const OptimizerType optim_##name;
#include "generated/optim.inc"
#undef X

std::span<const OptimizerType* const> optimizer_types() {
    static constexpr const OptimizerType* rows[] = {
#define X(name) &optim_##name,
#include "generated/optim.inc"
#undef X
    };
    return rows;
}

const OptimizerType& optimizer_type(std::string_view name) {
    std::string known;
    for (const OptimizerType* type : optimizer_types()) {
        if (type->name == name) return *type;
        known += (known.empty() ? "" : ", ") + std::string(type->name);
    }
    fail_code(kNotAvailable, "E_NOT_BUILT", "optimizer '{}' is not in this binary; it has {}", name,
              known);
}

std::unique_ptr<Optimizer> make_optimizer(const config::Optimizer& options,
                                          std::span<model::Parameter> parameters, bool queued) {
    const OptimizerType& type = optimizer_type(options.name);
    return (queued && type.make_queued != nullptr ? type.make_queued : type.make)(options,
                                                                                  parameters);
}

std::unique_ptr<Optimizer> make_optimizer(const config::Optimizer& options, model::Gpt2& model,
                                          bool queued) {
    return make_optimizer(options, std::span(model.parameters()), queued);
}

std::vector<Group> parameter_groups(std::span<const model::Parameter> parameters,
                                    double weight_decay) {
    Group decayed{.name = "decayed", .weight_decay = weight_decay}, plain{.name = "not decayed"};
    std::vector<const void*> seen;
    for (const model::Parameter& parameter : parameters) {
        if (parameter.value.defined()) {
            const void* storage = parameter.value.const_data_ptr();
            if (std::find(seen.begin(), seen.end(), storage) != seen.end()) continue;
            seen.push_back(storage);
        }
        Group& group = parameter.spec.decay ? decayed : plain;
        ++group.tensors;
        group.elements += model::element_count(parameter.spec);
    }
    return {decayed, plain};
}

std::vector<Group> parameter_groups(model::Gpt2& model, double weight_decay) {
    return parameter_groups(std::span<const model::Parameter>(model.parameters()), weight_decay);
}

}  // namespace knlp::optim
