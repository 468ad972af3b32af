#pragma once

#include "knlp/app/command.h"
#include "knlp/model/loaded_model.h"

#include <filesystem>
#include <string>

namespace knlp::app {

/// Flags of the verbs that read a model; those that compute with it have device, threads and dtype
/// as well.
struct ModelFlags {
    std::string model, tokenizer, device = "auto", dtype = "fp32";
    int64_t threads = 0;
    bool check_finite = false, untie = false;
};
/// --model, --tokenizer, --untie, --check-finite
void add_model_flags(Parser verb, ModelFlags& flags);
/// --device, --threads, --dtype
void add_compute_flags(Parser verb, ModelFlags& flags);

/// What --model names; without it the newest run below the output directory of the configuration
/// ("results" without one). Error{kUsage} when there is none.
std::filesystem::path model_path(const Common& common, const ModelFlags& flags);

model::LoadedModel load_model(const Common& common, const ModelFlags& flags);

/// Writes to stdout at once. False when nobody reads any more (closed pipe); Error{kRun, "E_IO"} on
/// other failures.
bool put_stdout(std::string_view text);

}  // namespace knlp::app
