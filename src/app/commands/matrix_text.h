#pragma once

#include "knlp/matrix/plan.h"

#include <string>

namespace knlp::app {

/// A plan for people: cells, budget, arms with what they are expected to take, exclusions with
/// their rules, differences between arms.
std::string plan_summary(const matrix::Plan& plan);

/// "1 h 12 min", "unknown": `cells` cells with these estimates, `jobs` at once.
std::string total_time_text(const matrix::Plan& plan);

}  // namespace knlp::app
