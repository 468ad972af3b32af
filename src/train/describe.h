#pragma once

#include "session.h"

#include "knlp/track/manifest.h"

#include <filesystem>
#include <string>
#include <vector>

namespace knlp::train {

/// "gpt2_adamw_s1"; with "-SYNTH" when the data is synthetic.
std::string run_name(const Session& session);

/// What the manifest says of a run before its first step.
track::Manifest describe(const Session& session, const TrainRequest& request,
                         const config::Symbols& symbols);

/// The data part of it.
track::Manifest::Data describe_data(const Session& session);

/// What the manifest's own fields do not hold, as a JSON object: model_config, optimizer_config,
/// schedule, eval, memory, estimate.
std::string describe_details(const Session& session);

/// The token files that the manifest of a run names.
std::vector<track::Manifest::File> recorded_data(const std::filesystem::path& run_directory);

/// How the data differs from what the manifest of the run says it began with; "" when it does not,
/// or when the manifest does not say.
std::string changed_data(const Session& session, const std::filesystem::path& run_directory);

/// Prints what would be trained: model, groups, optimizer, data, batch, machine, budget, memory.
/// Data that was not resolved is named as configured.
void print_plan(const Session& session);

/// Prints the run, its plan and the time it will take.
void print_banner(const Session& session, const std::string& run_path, int64_t from_step);

/// Prints that other data stands in for the wanted; nothing when none does.
void print_substitute(const Session& session);

}  // namespace knlp::train
