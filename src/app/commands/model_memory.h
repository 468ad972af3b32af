#pragma once

#include "knlp/core/memory_estimate.h"
#include "knlp/model/loaded_model.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace knlp::app {

/// What so many sequences at once hold beside the program; the first term is the weights, which are
/// there already.
using TermsOfBatch = std::function<std::vector<MemoryTerm>(int64_t batch)>;

/// Error{kRun, "E_MEMORY"} unless `batch` sequences fit beside the loaded model: with the three
/// largest terms and what `advice` says of the number that would fit (0: not even one).
void require_room(model::LoadedModel& model, int64_t batch, const TermsOfBatch& terms_of,
                  const std::function<std::string(int64_t fitting)>& advice);

}  // namespace knlp::app
