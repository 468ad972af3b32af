#pragma once

#include <optional>
#include <string>

namespace knlp::config {

class Symbols;

/// Warns about environment variables whose value will not be used because it is nonsense
/// (OMP_NUM_THREADS=0, MKL_NUM_THREADS=many). Threads come from NUM_THREADS then.
void check_environment();

/// Trackers that the configuration asks for ("trackio", "wandb") although nobody follows this
/// process for them: it was not started by make, which starts mirrors. "" when all is well.
std::string unmirrored(const Symbols& symbols);

/// Full path of a program in $PATH, "" when there is none.
std::string find_program(const std::string& name);

/// $CUDA_VISIBLE_DEVICES, where it is set.
std::optional<std::string> visible_gpus();

}  // namespace knlp::config
