#include "knlp/model/anomaly.h"

#include <ATen/core/Tensor.h>

namespace knlp::model {

void AnomalyWatch::look(const std::string& name, const at::Tensor& value) {
    if (!first_bad_.empty() || !value.defined()) return;
    if (!value.detach().isfinite().all().item<bool>()) first_bad_ = name;
}

void AnomalyWatch::see(const std::string& name, const at::Tensor& value) {
    look(name, value);
    if (value.requires_grad())
        value.register_hook(
            [this, name](const at::Tensor& gradient) { look("gradient of " + name, gradient); });
}

}  // namespace knlp::model
