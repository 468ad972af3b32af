#pragma once

#include <string>

#include "run_data.h"

namespace knlp::report {

/// The curves of a run as CSV (RFC 4180, "\n" line ends): one row a train or eval event, with a
/// header; numbers as in metrics.jsonl (shortest round trip, inf, -inf), empty where a value is NaN
/// or was not recorded.
std::string curves_csv(const RunData& run);

}  // namespace knlp::report
