#pragma once

#include "knlp/model/parameter_spec.h"

#include <ATen/core/Tensor.h>

namespace knlp::model {

struct Parameter {
    ParameterSpec spec;
    at::Tensor value;  // fp32 leaf, requires_grad
};

}  // namespace knlp::model
