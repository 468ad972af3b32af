#pragma once

#include "src/config/dot_config.h"
#include "src/config/evaluate.h"

#include "knlp/config/symbols.h"

#include <map>
#include <string>
#include <vector>

namespace knlp::config {

/// Values of all symbols that have one here (every bool has), and where each came from.
struct Resolution {
    Values values;
    std::map<std::string, Origin, std::less<>> origins;
};

/// Settings of a complete .config, then overrides in order of precedence, to values. Every setting
/// must come out of the evaluation as it went in; else E_DEPENDS, E_RANGE, E_CHOICE say why.
/// Settings equal to their default are not held on to: they follow an override that moves the
/// default. `path` names the file whose build symbols must fit this binary; "" skips that check.
Resolution resolve(const std::vector<Setting>& settings,
                   const std::vector<Symbols::Override>& overrides, const std::string& path);

/// Throws when the evaluation does not give what the setting asks for.
void require_result(Evaluation& evaluation, const Setting& setting);

/// Throws E_BUILD_MISMATCH when the file needs what this binary was not built with. What the file
/// has off and the binary on is fine.
void require_build(Evaluation& evaluation, const std::string& path);

}  // namespace knlp::config
