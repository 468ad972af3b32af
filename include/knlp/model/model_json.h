#pragma once

#include "knlp/config/model.h"

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace knlp::config {

/// Every field of a model, as state.json, manifests and `convert --list` show it.
void to_json(nlohmann::json& json, const Model& model);
/// Error{kData} naming the key, what it holds and what it may hold. Unknown keys are refused.
void from_json(const nlohmann::json& json, Model& model);

}  // namespace knlp::config

namespace knlp::model {

/// Sizes that a file may ask for: positive, below bounds that keep every product within 64 bits,
/// heads dividing the width. Error{kData} beginning with `where`.
void check_sizes(const config::Model& model, const std::string& where);

}  // namespace knlp::model
