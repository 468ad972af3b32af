#include "knlp/config/general.h"

#include "knlp/config/environment.h"
#include "knlp/config/symbols.h"

#include <cstdlib>

namespace knlp::config {

General read_general(const Symbols& symbols) {
    General g;
    g.seed = static_cast<uint64_t>(symbols.integer("SEED"));
    g.deterministic = symbols.on("DETERMINISTIC");
    g.device = symbols.text("DEVICE");
    g.allow_cpu_fallback = symbols.on("ALLOW_CPU_FALLBACK");
    g.num_threads = symbols.integer("NUM_THREADS");
    g.data_dir = symbols.text("DATA_DIR");
    g.output_dir = symbols.text("OUTPUT_DIR");
    g.log_level = symbols.text("LOG_LEVEL");
    return g;
}

std::string_view seed_symbol() {
    return "SEED";
}

std::string unmirrored(const Symbols& symbols) {
    std::string wanted = symbols.on("ENABLE_TRACKIO") ? "trackio" : "";
    if (symbols.on("ENABLE_WANDB")) wanted += wanted.empty() ? "wandb" : ",wandb";
    return std::getenv("KNLP_MIRROR") ? "" : wanted;
}

}  // namespace knlp::config
