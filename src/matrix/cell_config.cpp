#include "cell_config.h"

#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/hash.h"

namespace knlp::matrix {

std::vector<config::Symbols::Override> overrides_of(const Arm& arm) {
    std::vector<config::Symbols::Override> overrides;
    for (const Setting& setting : arm.settings)
        overrides.push_back({setting.name, setting.value, config::Origin::kMatrix});
    return overrides;
}

config::Symbols::Override override_of(uint64_t seed) {
    return {std::string(config::seed_symbol()), std::to_string(seed), config::Origin::kMatrix};
}

std::string device_kind(const std::string& device) {
    return device.substr(0, device.find(':'));
}

config::Symbols cell_symbols(const std::filesystem::path& matrix, const Plan& plan,
                             const Cell& cell) {
    const std::filesystem::path file = matrix / kBaseConfigFile;
    if (sha256_file(file) != plan.config_sha256)
        fail(kData,
             "{}: not the configuration that was planned with (SHA-256 {}…); put it back, or make "
             "another plan with `knlp matrix plan`",
             file.string(), plan.config_sha256.substr(0, 12));
    std::vector<config::Symbols::Override> overrides = overrides_of(plan.arm(cell.arm));
    overrides.push_back(override_of(cell.seed));
    config::Symbols symbols = config::Symbols::load(file, overrides);
    if (symbols.experiment_hash(cell.seed) != cell.config_sha256)
        fail(kData,
             "{}: the configuration of the cell '{}' is not the planned one: this binary reads "
             "other symbols than the one that planned; run the one that the plan keeps",
             matrix.string(), cell.id);
    return symbols;
}

}  // namespace knlp::matrix
