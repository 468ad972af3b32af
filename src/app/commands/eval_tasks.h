#pragma once

#include "model_options.h"

#include "knlp/model/inference_memory.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace knlp::app {

/// Flags of `knlp eval`.
struct EvalOptions {
    ModelFlags model;
    std::string task = "loss", data, split = "val", style = "harness", baseline, ids, precision;
    std::vector<std::string> mode = {"chunk"};
    int64_t stride = 0;  // from --mode: 0 chunk, -1 half the context
    int64_t tokens = 0, limit = 0, batch = 0;
};

/// A result in its three forms. `full` has what `summary` has and the per-item answers.
struct EvalReport {
    nlohmann::json summary, full;
    std::string text;
};

/// Error{kRun, "E_MEMORY"} unless such a batch fits beside the model, with the --batch that would.
/// Of `shape` the caller says batch, length and bf16.
void require_eval_room(model::LoadedModel& model, const EvalOptions& options,
                       model::ScoringShape shape);

EvalReport eval_loss(model::LoadedModel& model, const EvalOptions& options);
EvalReport eval_perplexity(model::LoadedModel& model, const EvalOptions& options);
EvalReport eval_hellaswag(model::LoadedModel& model, const EvalOptions& options);
void eval_logits(model::LoadedModel& model, const std::string& ids, const std::string& out);

}  // namespace knlp::app
