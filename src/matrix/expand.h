#pragma once

#include "knlp/matrix/plan.h"

#include <functional>
#include <string>
#include <vector>

namespace knlp::matrix {

/// What a combination of settings comes to.
struct Evaluated {
    std::string refused;            // why it is no configuration, "" when it is one
    std::vector<std::string> idle;  // symbols of the settings that have no effect in it
    std::string sha256;             // of the experiment, without the seed
    std::string model, optimizer;   // names of table rows, for the id
};
using Evaluate = std::function<Evaluated(const std::vector<Setting>& settings)>;

/// Arms with id, labels, settings and config_sha256 set, and what is none.
struct Expansion {
    std::vector<Arm> arms;
    std::vector<Excluded> excluded;
};

constexpr int64_t kMaxCombinations = 20000;

/// The cross product of the axes, the last one fastest, less what rules R1 to R6 forbid, what
/// `evaluate` refuses (rule "config"), and duplicates (R7): an axis whose settings have no effect
/// does nothing there, its label is "-", and of several such arms the first stays. Without axes
/// there is one arm. Error{kUsage} when no arm is left, an axis does nothing in any arm, or there
/// are more than kMaxCombinations.
Expansion expand(const std::vector<Axis>& axes, const Evaluate& evaluate);

}  // namespace knlp::matrix
