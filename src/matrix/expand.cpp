#include "expand.h"

#include "rules.h"

#include "knlp/core/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>

namespace knlp::matrix {
namespace {

constexpr size_t kLongestId = 120;

/// Axes whose label alone stands in an id, as what a run is called.
bool names_itself(const std::string& axis) {
    return axis == "pruning" || axis == "sparsity" || axis == "variant" || axis == "attention" ||
           axis == "tokenizer";
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

/// What may stand in the name of a directory anywhere.
std::string safe(std::string text) {
    for (char& c : text)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '+' &&
            c != '-')
            c = '-';
    return text;
}

std::string id_of(const std::vector<Axis>& axes, const Arm& arm, const Evaluated& evaluated) {
    std::string id = safe(evaluated.model + "_" + evaluated.optimizer);
    for (size_t a = 0; a < axes.size(); ++a) {
        const std::string &name = axes[a].name, &label = arm.labels[a];
        if (label == kIdle || name == "optimizer" || name == "model") continue;
        id += names_itself(name) ? "_" + safe(label) : safe("_" + lower(name) + "-" + label);
    }
    if (id.size() > kLongestId)
        id = id.substr(0, kLongestId) + "-" + arm.config_sha256.substr(0, 6);
    return id;
}

/// Arms that differ in what a name cannot hold get their hash into it, each of them: an id depends
/// on the arm alone wherever that is enough.
void separate_equal_ids(std::vector<Arm>& arms) {
    std::map<std::string, int> count;
    for (const Arm& arm : arms) ++count[arm.id];
    for (Arm& arm : arms)
        if (count[arm.id] > 1) arm.id += "-" + arm.config_sha256.substr(0, 6);
}

/// Counts through all combinations, the last axis fastest.
class Odometer {
public:
    explicit Odometer(const std::vector<Axis>& axes) : axes_(axes), at_(axes.size(), 0) {}
    const AxisValue& value(size_t axis) const { return axes_[axis].values[at_[axis]]; }
    bool next() {
        for (size_t a = axes_.size(); a-- > 0;) {
            if (++at_[a] < axes_[a].values.size()) return true;
            at_[a] = 0;
        }
        return false;
    }

private:
    const std::vector<Axis>& axes_;
    std::vector<size_t> at_;
};

class Expander {
public:
    Expander(const std::vector<Axis>& axes, const Evaluate& evaluate)
        : axes_(axes), evaluate_(evaluate) {
        for (const Axis& axis : axes) names_.push_back(axis.name);
    }

    Expansion run() {
        Odometer at(axes_);
        do {
            add(at);
        } while (at.next());
        require_arms();
        require_effect();
        separate_equal_ids(out_.arms);
        return std::move(out_);
    }

private:
    void add(const Odometer& at) {
        std::vector<std::string> asked;
        for (size_t a = 0; a < axes_.size(); ++a) asked.push_back(at.value(a).label);
        Arm arm;
        arm.labels = asked;
        std::vector<std::string> idled_by;
        Combination combination(names_, arm.labels);
        const Ruling ruling = apply_rules(combination, idled_by);
        if (!ruling.rule.empty()) {
            out_.excluded.push_back({asked, ruling.rule, ruling.why});
            return;
        }
        for (size_t a = 0; a < axes_.size(); ++a)
            if (arm.labels[a] != kIdle)
                arm.settings.insert(arm.settings.end(), at.value(a).settings.begin(),
                                    at.value(a).settings.end());
        const Evaluated evaluated = evaluate_(arm.settings);
        if (!evaluated.refused.empty()) {
            out_.excluded.push_back({asked, "config", evaluated.refused});
            return;
        }
        drop_idle(arm, at, evaluated.idle, idled_by);
        arm.config_sha256 = evaluated.sha256;
        arm.id = id_of(axes_, arm, evaluated);
        keep(std::move(arm), asked, idled_by);
    }

    /// Settings without effect go; an axis that has none left does nothing.
    void drop_idle(Arm& arm, const Odometer& at, const std::vector<std::string>& idle,
                   std::vector<std::string>& idled_by) const {
        const auto is_idle = [&idle](const Setting& setting) {
            return std::find(idle.begin(), idle.end(), setting.name) != idle.end();
        };
        for (size_t a = 0; a < axes_.size(); ++a) {
            const std::vector<Setting>& settings = at.value(a).settings;
            if (arm.labels[a] == kIdle || settings.empty()) continue;
            if (!std::all_of(settings.begin(), settings.end(), is_idle)) continue;
            arm.labels[a] = std::string(kIdle);
            idled_by.push_back(axes_[a].name + " has no effect there");
        }
        std::erase_if(arm.settings, is_idle);
    }

    void keep(Arm arm, const std::vector<std::string>& asked,
              const std::vector<std::string>& idled_by) {
        const auto [first, fresh] = first_.emplace(arm.config_sha256, out_.arms.size());
        if (fresh) {
            out_.arms.push_back(std::move(arm));
            return;
        }
        out_.excluded.push_back(
            {asked, "R7",
             fmt::format("the same as '{}'{}", out_.arms[first->second].id,
                         idled_by.empty() ? "" : fmt::format(" ({})", fmt::join(idled_by, ", ")))});
    }

    void require_arms() const {
        if (!out_.arms.empty()) return;
        const Excluded& first = out_.excluded.front();
        fail(kUsage,
             "the plan is empty: all {} combinations are excluded, the first ({}) by {}: {}",
             out_.excluded.size(), fmt::join(first.labels, ", "), first.rule, first.why);
    }

    void require_effect() const {
        for (size_t a = 0; a < axes_.size(); ++a) {
            const bool somewhere =
                std::any_of(out_.arms.begin(), out_.arms.end(),
                            [a](const Arm& arm) { return arm.labels[a] != kIdle; });
            if (!somewhere)
                fail(kUsage,
                     "the axis {} does nothing in any arm; `knlp config explain {}` says what it "
                     "depends on",
                     axes_[a].name, axes_[a].name);
        }
    }

    const std::vector<Axis>& axes_;
    const Evaluate& evaluate_;
    std::vector<std::string> names_;
    std::map<std::string, size_t> first_;  // arm of each experiment
    Expansion out_;
};

}  // namespace

Expansion expand(const std::vector<Axis>& axes, const Evaluate& evaluate) {
    int64_t combinations = 1;
    for (const Axis& axis : axes) {
        KNLP_CHECK(!axis.values.empty());
        combinations *= std::ssize(axis.values);
        if (combinations > kMaxCombinations)
            fail(kUsage, "more than {} combinations of axis values; take fewer or shorter axes",
                 kMaxCombinations);
    }
    return Expander(axes, evaluate).run();
}

}  // namespace knlp::matrix
