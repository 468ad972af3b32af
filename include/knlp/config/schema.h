#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace knlp::config {

enum class SymbolType { kBool, kInt, kHex, kString };

/// One Kconfig symbol as the schema generator wrote it (include/generated/config_schema.inc).
/// Expressions are text in Kconfig's own grammar: sym, "str", =, !=, <, <=, >, >=, !, &&, ||,
/// parentheses; "" is y.
struct SymbolInfo {
    struct Conditional {
        std::string_view value;  // literal or symbol name
        std::string_view condition;
    };
    struct Range {
        std::string_view low, high, condition;
    };
    std::string_view name;  // without CONFIG_
    SymbolType type = SymbolType::kString;
    std::string_view prompt;  // "" when the user cannot set it
    std::string_view prompt_condition;
    std::string_view depends;    // direct dependencies
    std::string_view menu_path;  // "Model > GPT-2"
    std::string_view help;
    std::string_view semantic;  // float[0,1), list(int), path, ...; "" for none
    std::string_view choice;    // name of the choice group it belongs to, or ""
    std::string_view location;  // "src/model/Kconfig:12"
    std::string_view env;       // variable of `option env`, or ""
    bool build = false;         // decides what is compiled
    bool resume_free = false;   // may change on resume: budgets, logging, devices
    bool budget = false;        // one of those that decide a run's result all the same
    std::span<const Conditional> defaults;
    std::span<const Conditional> selected_by;  // value = selecting symbol
    std::span<const Conditional> implied_by;
    std::span<const Range> ranges;
};

struct ChoiceInfo {
    std::string_view name;  // generated: "choice:RUN_TRAIN" when the choice has no name
    std::string_view prompt;
    std::string_view condition;
    std::span<const std::string_view> members;
    std::span<const SymbolInfo::Conditional> defaults;
};

/// In menu order.
std::span<const SymbolInfo> symbols();
std::span<const ChoiceInfo> choices();
const SymbolInfo* find_symbol(std::string_view name);
/// With or without CONFIG_; null where a symbol has the name.
const ChoiceInfo* find_choice(std::string_view name);

/// Old or upstream name -> ours (scripts/kconfig/aliases, compiled in). "" when none.
std::string_view alias_of(std::string_view name);

}  // namespace knlp::config
