#pragma once

#include "knlp/data/token_file.h"
#include "knlp/model/loaded_model.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace knlp::app {

/// What a language-model evaluation reads.
struct EvalData {
    data::TokenFile tokens;
    std::string path, sha256;     // of the tokens, or of the text they were made from
    nlohmann::json run_manifest;  // of the model's run; null without one
    bool from_run = false;        // the model's own data
};

/// `data`: a dataset directory (its `split`), a token file (*.bin) or a text, which is encoded with
/// the model's tokenizer; "" = the data the model was trained on, as its run's manifest says.
/// Error{kUsage} when there is nothing to read; Error{kData} when the data was made with another
/// tokenizer or has ids outside the model's vocabulary.
EvalData open_eval_data(const model::LoadedModel& model, const std::string& data,
                        const std::string& split);

/// The value at "a.b" of the run's manifest, or `otherwise` when there is none.
template <class T>
T from_manifest(const nlohmann::json& manifest, const char* section, const char* key, T otherwise) {
    if (!manifest.is_object() || !manifest.contains(section)) return otherwise;
    const nlohmann::json& part = manifest[section];
    if (!part.is_object() || !part.contains(key) || part[key].is_null()) return otherwise;
    return part[key].get<T>();
}

}  // namespace knlp::app
