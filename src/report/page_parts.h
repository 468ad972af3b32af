#pragma once

#include <string>

#include "run_data.h"

namespace knlp::report {

/// Sections of the page below its charts, each "" when the run has nothing for it.
std::string sample_section(const RunData& run);
std::string commands_section(const RunData& run);
std::string provenance_section(const RunData& run);
std::string configuration_section(const RunData& run);

}  // namespace knlp::report
