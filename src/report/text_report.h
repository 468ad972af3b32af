#pragma once

#include <string>

#include "run_data.h"

namespace knlp::report {

/// Key figures as lines "name        value", what summary_report.txt holds.
std::string text_of_run(const RunData& run);

}  // namespace knlp::report
