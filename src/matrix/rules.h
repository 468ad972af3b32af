#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace knlp::matrix {

/// The label of an axis that does nothing in an arm.
inline constexpr const char* kIdle = "-";

/// One combination of axis values, by label. An axis that there is not has no label: "".
class Combination {
public:
    Combination(const std::vector<std::string>& axes, std::vector<std::string>& labels)
        : axes_(axes), labels_(labels) {}

    std::string label(std::string_view axis) const;
    /// "-", where there is such an axis. Whether that changed anything.
    bool make_idle(std::string_view axis);

private:
    const std::vector<std::string>& axes_;
    std::vector<std::string>& labels_;
};

/// What a rule says about a combination: "" where it is silent, else why it is no arm.
struct Ruling {
    std::string rule, why;  // R1; "adamw_prune allows …"
};

/// Rules R1 to R6, in this order: the first that forbids the combination. Labels of axes that a
/// rule makes idle become "-" and its name goes to `idled_by`.
Ruling apply_rules(Combination& combination, std::vector<std::string>& idled_by);

/// Share of weights that are zero as it stands in an id, in percent with at most three decimals:
/// "0.7" is 70, "0.995" is 99p5. Error{kUsage} outside [0, 1) or with more decimals.
std::string sparsity_label(std::string_view share);

}  // namespace knlp::matrix
