#pragma once

#include "knlp/model/parameter.h"
#include "knlp/optim/named_state.h"
#include "knlp/optim/optimizer.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace knlp::optim {

/// AdamW of adamw.cpp by LibTorch's fused operator over the decayed and the other parameters, for
/// devices with a queue: norm, clip, test for finite values and the number of updates stay on the
/// device. Tensors and scalars have the names and forms of adamw.cpp.
std::unique_ptr<Optimizer> make_queued_adamw(const config::Optimizer& options,
                                             std::span<model::Parameter> parameters);

/// Scalars of both: the updates made. Error{kData} for text that holds no such number.
std::string adamw_scalars(int64_t steps);
int64_t read_adamw_scalars(const std::string& text);

}  // namespace knlp::optim
