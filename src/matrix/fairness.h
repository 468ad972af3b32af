#pragma once

#include "knlp/config/symbols.h"
#include "knlp/matrix/plan.h"
#include "knlp/train/outlook.h"

#include <span>
#include <string>
#include <vector>

namespace knlp::matrix {

/// Error{kConfig} unless all arms see the same data, in the same order and evaluation windows, in
/// steps of one effective batch, on one kind of device.
void require_same_conditions(const std::vector<Arm>& arms,
                             std::span<const train::Outlook> outlooks);

/// What differs all the same, such as the micro-batch that a larger model leaves room for: a line
/// each, with the value of every arm.
std::vector<std::string> unavoidable_differences(const std::vector<Arm>& arms,
                                                 std::span<const train::Outlook> outlooks);

/// Symbols that no axis sets and that differ all the same, because their default follows from one
/// that an axis does set: a line each. `symbols` by arm.
std::vector<std::string> default_differences(const std::vector<Arm>& arms,
                                             const std::vector<const config::Symbols*>& symbols);

/// The budget that all arms share, by `kind` of config::Matrix, and the settings that hold each arm
/// to it. Operations are those of the arm at `baseline`. Error{kConfig} where arms would not get
/// the same, or the configuration has no such budget.
struct SharedBudget {
    Budget budget;
    std::vector<std::vector<Setting>> settings;  // by arm
};
SharedBudget share_budget(const std::string& kind, size_t baseline, const std::vector<Arm>& arms,
                          std::span<const train::Outlook> outlooks);

}  // namespace knlp::matrix
