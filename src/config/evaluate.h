#pragma once

#include "src/config/expr.h"

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace knlp::config {

using Values = std::map<std::string, std::string, std::less<>>;

/// The symbols an evaluation is about. The spans must outlive it.
struct Schema {
    std::span<const SymbolInfo> symbols;
    std::span<const ChoiceInfo> choices;
};
Schema built_in_schema();

/// Result for one symbol.
struct SymbolState {
    std::string value;     // "y" or "n" for a bool; "" for another type that is not active
    bool visible = false;  // the user can set it here
    bool active = false;   // it has a line in .config here
};

/// Values of all symbols from those the user set, by the rules of kconfig-frontends 4.11: a visible
/// symbol takes the user's value, else the first default whose condition holds; selects force y,
/// implies suggest it; ints are clamped to the first range whose condition holds; a choice has
/// exactly one member on. Symbols that depend on an environment variable (what the machine at build
/// time had) are taken from `user` as they are.
class Evaluation {
public:
    Evaluation(const Schema& schema, Values user);

    const SymbolState& of(std::string_view name);
    /// Value the symbol would have without the user's word on it, everything else as it is.
    std::string default_of(const SymbolInfo& symbol);
    std::optional<std::pair<int64_t, int64_t>> range_of(const SymbolInfo& symbol);
    /// Member that is on, "" when the choice is not visible.
    std::string selected(const ChoiceInfo& choice);
    bool holds(std::string_view expression);
    /// For failing_operands() and settings_that_help().
    Lookup lookup();
    const ChoiceInfo* choice_of(const SymbolInfo& symbol) const;
    const SymbolInfo* find(std::string_view name) const;

private:
    SymbolState compute(const SymbolInfo& symbol, bool use_user);
    SymbolState compute_member(const SymbolInfo& symbol, bool use_user);
    bool visible(const SymbolInfo& symbol);
    std::string default_text(const SymbolInfo& symbol, bool& found);
    std::string literal(std::string_view text);
    std::string choice_default(const ChoiceInfo& choice);
    bool depends_on_machine(const SymbolInfo& symbol) const;
    bool any_holds(std::span<const SymbolInfo::Conditional> list);

    Schema schema_;
    Values user_;
    std::map<std::string_view, const SymbolInfo*> by_name_;
    std::map<std::string_view, const ChoiceInfo*> choices_by_name_;
    std::map<std::string_view, SymbolState> states_;
};

}  // namespace knlp::config
