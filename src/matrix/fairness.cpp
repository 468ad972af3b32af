#include "fairness.h"

#include "knlp/config/matrix.h"
#include "knlp/config/schema.h"
#include "knlp/core/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

namespace knlp::matrix {
namespace {

using train::Outlook;
using Property = std::function<std::string(const Outlook&)>;
using Values = std::vector<std::string>;  // by arm

std::string data_text(const Outlook& outlook) {
    std::vector<std::string> parts;
    for (const Outlook::File& file : outlook.data)
        parts.push_back(file.role + " " + file.sha256.substr(0, 12));
    return fmt::format("{}", fmt::join(parts, ", "));
}

/// Arms by what they have of a property, in the order of the plan: "8 (a, b), 16 (c)"; "" when it
/// is one for all.
std::string spread(const std::vector<Arm>& arms, const Values& values) {
    std::vector<std::pair<std::string, std::vector<std::string>>> groups;
    for (size_t a = 0; a < arms.size(); ++a) {
        const std::string& value = values[a];
        auto group = std::find_if(groups.begin(), groups.end(),
                                  [&](const auto& g) { return g.first == value; });
        if (group == groups.end()) group = groups.insert(groups.end(), {value, {}});
        group->second.push_back(arms[a].id);
    }
    if (groups.size() < 2) return "";
    std::vector<std::string> parts;
    for (const auto& [value, ids] : groups)
        parts.push_back(fmt::format("{} ({})", value, fmt::join(ids, ", ")));
    return fmt::format("{}", fmt::join(parts, ", "));
}

std::string spread(const std::vector<Arm>& arms, std::span<const Outlook> outlooks,
                   const Property& property) {
    Values values;
    for (const Outlook& outlook : outlooks) values.push_back(property(outlook));
    return spread(arms, values);
}

/// Iterations that the arm's own budgets come to.
int64_t iterations_of(const Outlook& outlook) {
    int64_t iterations = outlook.max_iters;
    if (outlook.max_tokens > 0) {
        const int64_t a_step = outlook.tokens_per_step();
        const int64_t by_tokens = (outlook.max_tokens + a_step - 1) / a_step;
        iterations = iterations > 0 ? std::min(iterations, by_tokens) : by_tokens;
    }
    return iterations;
}

std::vector<Setting> settings_of(const std::string& kind, int64_t amount) {
    std::vector<Setting> settings;
    for (const auto& [name, value] : config::budget_settings(kind, amount))
        settings.push_back({name, value});
    return settings;
}

[[noreturn]] void refuse(const std::string& kind, const std::string& why) {
    fail_code(kConfig, "E_RANGE", "the budget of this matrix is {} for every arm: {}", kind, why);
}

/// One budget for all, as each arm has it.
SharedBudget equal_budget(const std::string& kind, const std::vector<Arm>& arms,
                          std::span<const Outlook> outlooks, const Property& amount) {
    const std::string differs = spread(arms, outlooks, amount);
    if (!differs.empty()) refuse(kind, "arms have " + differs);
    const int64_t of_all = std::stoll(amount(outlooks.front()));
    if (of_all <= 0)
        refuse(kind, std::string("the configuration has none; ") +
                         (kind == "iterations" ? "set GPT2_MAX_ITERS"
                          : kind == "tokens"   ? "set GPT2_MAX_TOKENS"
                                               : "set GPT2_MAX_TIME"));
    return {{kind, static_cast<double>(of_all)}, {arms.size(), settings_of(kind, of_all)}};
}

SharedBudget by_operations(size_t baseline, const std::vector<Arm>& arms,
                           std::span<const Outlook> outlooks) {
    const auto of_step = [](const Outlook& outlook) {
        return outlook.flops_per_token * static_cast<double>(outlook.tokens_per_step());
    };
    const int64_t steps = iterations_of(outlooks[baseline]);
    if (steps <= 0) refuse("flops", "the baseline has no GPT2_MAX_ITERS or GPT2_MAX_TOKENS");
    const double operations = static_cast<double>(steps) * of_step(outlooks[baseline]);
    SharedBudget shared{{"flops", operations}, {}};
    for (size_t a = 0; a < arms.size(); ++a) {
        const auto iterations =
            static_cast<int64_t>(std::llround(operations / of_step(outlooks[a])));
        if (iterations < 1) refuse("flops", fmt::format("'{}' takes more in one step", arms[a].id));
        shared.settings.push_back(settings_of("iterations", iterations));
    }
    return shared;
}

}  // namespace

void require_same_conditions(const std::vector<Arm>& arms, std::span<const Outlook> outlooks) {
    const struct {
        const char* what;
        Property of;
    } rows[] = {
        {"effective batch", [](const Outlook& o) { return std::to_string(o.effective_batch); }},
        {"length of a sequence", [](const Outlook& o) { return std::to_string(o.n_ctx); }},
        {"data", data_text},
        {"evaluation windows", [](const Outlook& o) { return o.windows_sha256.substr(0, 12); }},
        {"device", [](const Outlook& o) { return o.device; }},
    };
    for (const auto& row : rows) {
        const std::string differs = spread(arms, outlooks, row.of);
        if (!differs.empty())
            fail_code(
                kConfig, "E_UNFAIR",
                "arms differ in what a comparison must hold the same, {}: {}; make a matrix of "
                "each",
                row.what, differs);
    }
}

std::vector<std::string> unavoidable_differences(const std::vector<Arm>& arms,
                                                 std::span<const Outlook> outlooks) {
    const struct {
        const char* what;
        Property of;
    } rows[] = {
        {"threads", [](const Outlook& o) { return std::to_string(o.choices.threads); }},
        {"micro-batch", [](const Outlook& o) { return std::to_string(o.choices.micro); }},
        {"route of products", [](const Outlook& o) { return o.choices.gemm; }},
        {"parameters", [](const Outlook& o) { return std::to_string(o.parameters); }},
        {"operations a token",
         [](const Outlook& o) { return fmt::format("{:.4g}", o.flops_per_token); }},
    };
    std::vector<std::string> differences;
    for (const auto& row : rows) {
        const std::string differs = spread(arms, outlooks, row.of);
        if (!differs.empty()) differences.push_back(fmt::format("{}: {}", row.what, differs));
    }
    return differences;
}

std::vector<std::string> default_differences(const std::vector<Arm>& arms,
                                             const std::vector<const config::Symbols*>& symbols) {
    std::set<std::string, std::less<>> set_by_axes;
    for (const Arm& arm : arms)
        for (const Setting& setting : arm.settings) set_by_axes.insert(setting.name);
    std::vector<std::string> differences;
    for (const auto& [name, first] : symbols.front()->values()) {
        const config::SymbolInfo* symbol = config::find_symbol(name);
        // Members of choices and features that are off are bools: what switches them says enough.
        if (symbol->type == config::SymbolType::kBool || symbol->resume_free ||
            set_by_axes.contains(name))
            continue;
        Values values;
        for (const config::Symbols* of_arm : symbols) {
            const auto found = of_arm->values().find(name);
            if (found != of_arm->values().end()) values.push_back(found->second);
        }
        if (values.size() != arms.size()) continue;  // does nothing in some arm
        const std::string differs = spread(arms, values);
        if (!differs.empty())
            differences.push_back(fmt::format("{} by default: {}", name, differs));
    }
    return differences;
}

SharedBudget share_budget(const std::string& kind, size_t baseline, const std::vector<Arm>& arms,
                          std::span<const Outlook> outlooks) {
    for (const Outlook& outlook : outlooks) {
        if (kind != "time" && outlook.max_time_s > 0)
            refuse(kind,
                   "GPT2_MAX_TIME would end a slower arm earlier; set it to 0, or take "
                   "MATRIX_BUDGET_TIME instead");
        if (kind == "iterations" && outlook.max_tokens > 0)
            refuse(kind,
                   "GPT2_MAX_TOKENS is another budget; set it to 0, or take MATRIX_BUDGET_TOKENS "
                   "instead");
    }
    if (kind == "flops") return by_operations(baseline, arms, outlooks);
    return equal_budget(kind, arms, outlooks, [&kind](const Outlook& o) {
        return std::to_string(kind == "iterations" ? o.max_iters
                              : kind == "tokens"   ? o.max_tokens
                                                   : static_cast<int64_t>(o.max_time_s));
    });
}

}  // namespace knlp::matrix
