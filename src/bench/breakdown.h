#pragma once

#include "knlp/bench/machine.h"
#include "knlp/core/profile.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace knlp::bench {

/// Where the time of a step goes, by group, from steps that were booked by region and the timing of
/// steps in between that were not:
///   {"step_ms", "sum_ms", "sum_over_step", "other_share", "complete", "valid", "peak_gflops",
///    "peak_gbps",
///    "groups": [{"group", "ms", "share", "calls", "gflop", "gflops", "bytes", "gbps", "limit",
///                "roof_share"}],
///    "nodes": [{"name", "group", "parent", "ms"}]}
/// Times are medians over the steps, exclusive. roof_share: the least time that FLOPs at the peak
/// rate or bytes at the best bandwidth would take, over the time taken; `limit` says which of the
/// two ("compute", "memory"; "cache" with a share of null: the bytes did not come from memory).
/// valid: no group is more than 5 % faster than the peak, or the peak was measured while something
/// else ran. complete: the groups add up to the step within 3 % and `other` is at most 5 % of it.
nlohmann::json breakdown_json(const std::vector<profile::Totals>& booked, const Timing& plain,
                              const Machine& machine, bool bf16);

/// The groups as a table, and what is missing when they are not complete.
std::string breakdown_text(const nlohmann::json& breakdown);

}  // namespace knlp::bench
