#pragma once

#include <filesystem>
#include <string>

namespace knlp::config {
class Symbols;
}

namespace knlp::train {

/// What `knlp train` was asked, beyond the configuration.
struct TrainRequest {
    std::filesystem::path out;               // "" = results/runs/<stamp>-<name>
    std::filesystem::path resume;            // run directory to go on with
    std::filesystem::path init_from;         // checkpoint, run or Hugging Face directory to start from
    bool allow_config_change = false, strict = false, dry_run = false, force = false;
    std::string command_line;                // for the manifest
    std::string preset;                      // name of the defconfig, for the manifest; "" if not known
};

/// Trains as `symbols` say; returns the exit status (0, 75, 130). Throws Error otherwise.
int run_training(config::Symbols& symbols, const TrainRequest& request);

}  // namespace knlp::train
