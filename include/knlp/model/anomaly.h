#pragma once

#include "knlp/model/tensor_names.h"

#include <string>

namespace knlp::model {

/// Finds the first tensor of a pass that holds a value which is not finite. It outlives the
/// backward pass.
class AnomalyWatch {
public:
    /// Looks at a result of the forward pass, and at its gradient when that is known.
    void see(const std::string& name, const at::Tensor& value);
    /// Looks at the tensor only.
    void look(const std::string& name, const at::Tensor& value);
    const std::string& first_bad() const { return first_bad_; }  // "" when there is none

private:
    std::string first_bad_;
};

}  // namespace knlp::model
