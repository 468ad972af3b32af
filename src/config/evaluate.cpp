#include "src/config/evaluate.h"

#include "knlp/core/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace knlp::config {

Schema built_in_schema() {
    return {symbols(), choices()};
}

Evaluation::Evaluation(const Schema& schema, Values user)
    : schema_(schema), user_(std::move(user)) {
    for (const SymbolInfo& symbol : schema_.symbols) by_name_[symbol.name] = &symbol;
    for (const ChoiceInfo& choice : schema_.choices) choices_by_name_[choice.name] = &choice;
}

const SymbolInfo* Evaluation::find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
}

const ChoiceInfo* Evaluation::choice_of(const SymbolInfo& symbol) const {
    const auto found = choices_by_name_.find(symbol.choice);
    return symbol.choice.empty() || found == choices_by_name_.end() ? nullptr : found->second;
}

Lookup Evaluation::lookup() {
    return [this](std::string_view name) -> Operand {
        if (name.starts_with("<choice ")) {
            const auto found = choices_by_name_.find(name.substr(8, name.size() - 9));
            const bool on = found != choices_by_name_.end() && holds(found->second->condition);
            return {on ? "y" : "n", SymbolType::kBool, true};
        }
        const SymbolInfo* symbol = find(name);
        if (!symbol) return {std::string(name), SymbolType::kString, false};
        return {of(name).value, symbol->type, true};
    };
}

bool Evaluation::holds(std::string_view expression) {
    return evaluate_expression(expression, lookup());
}

bool Evaluation::any_holds(std::span<const SymbolInfo::Conditional> list) {
    return std::any_of(list.begin(), list.end(), [this](const SymbolInfo::Conditional& row) {
        return holds(row.value) && holds(row.condition);
    });
}

const SymbolState& Evaluation::of(std::string_view name) {
    const SymbolInfo* symbol = find(name);
    if (!symbol) throw std::logic_error(fmt::format("no symbol {} in the schema", name));
    const auto known = states_.find(symbol->name);
    if (known != states_.end()) return known->second;
    // A symbol met again while it is being computed counts as off, as in Kconfig.
    states_[symbol->name] = {symbol->type == SymbolType::kBool ? "n" : "", false, false};
    SymbolState state = compute(*symbol, true);
    return states_[symbol->name] = std::move(state);
}

std::string Evaluation::default_of(const SymbolInfo& symbol) {
    return compute(symbol, false).value;
}

bool Evaluation::visible(const SymbolInfo& symbol) {
    if (symbol.prompt.empty() || !holds(symbol.prompt_condition) || !holds(symbol.depends))
        return false;
    const ChoiceInfo* choice = choice_of(symbol);
    return !choice || holds(choice->condition);
}

bool Evaluation::depends_on_machine(const SymbolInfo& symbol) const {
    if (!symbol.prompt.empty()) return false;
    for (const SymbolInfo::Conditional& row : symbol.defaults) {
        for (const std::string_view text : {row.value, row.condition}) {
            for (const std::string& name : symbols_in(text)) {
                const SymbolInfo* other = find(name);
                if (other && !other->env.empty()) return true;
            }
        }
    }
    return false;
}

std::string Evaluation::choice_default(const ChoiceInfo& choice) {
    for (const SymbolInfo::Conditional& row : choice.defaults) {
        const SymbolInfo* member = find(row.value);
        if (member && holds(row.condition) && visible(*member)) return std::string(member->name);
    }
    for (const std::string_view name : choice.members) {
        const SymbolInfo* member = find(name);
        if (member && visible(*member)) return std::string(name);
    }
    return "";
}

std::string Evaluation::selected(const ChoiceInfo& choice) {
    if (!holds(choice.condition)) return "";
    for (const std::string_view name : choice.members) {
        const auto set = user_.find(name);
        const SymbolInfo* member = find(name);
        if (set != user_.end() && set->second == "y" && member && visible(*member))
            return std::string(name);
    }
    return choice_default(choice);
}

SymbolState Evaluation::compute_member(const SymbolInfo& symbol, bool use_user) {
    const ChoiceInfo& choice = *choice_of(symbol);
    SymbolState state{"n", visible(symbol), false};
    state.active = state.visible;
    if (!state.visible) return state;
    const std::string on = use_user ? selected(choice) : choice_default(choice);
    if (on == symbol.name) state.value = "y";
    return state;
}

std::string Evaluation::literal(std::string_view text) {
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
        std::string plain;
        for (size_t i = 1; i + 1 < text.size(); ++i) {
            if (text[i] == '\\' && i + 2 < text.size()) ++i;
            plain += text[i];
        }
        return plain;
    }
    return find(text) ? of(text).value : std::string(text);
}

std::string Evaluation::default_text(const SymbolInfo& symbol, bool& found) {
    found = false;
    for (const SymbolInfo::Conditional& row : symbol.defaults) {
        if (!holds(row.condition) || !holds(symbol.depends)) continue;
        found = true;
        if (symbol.type == SymbolType::kBool) return holds(row.value) ? "y" : "n";
        return literal(row.value);
    }
    return symbol.type == SymbolType::kBool ? "n" : "";
}

SymbolState Evaluation::compute(const SymbolInfo& symbol, bool use_user) {
    if (choice_of(symbol)) return compute_member(symbol, use_user);
    const auto set = user_.find(symbol.name);
    const bool given = use_user && set != user_.end();
    if (!symbol.env.empty()) return {given ? set->second : "", false, false};
    if (depends_on_machine(symbol) && set != user_.end()) return {set->second, false, true};

    SymbolState state;
    state.visible = visible(symbol);
    bool has_default = false;
    if (state.visible && given) {
        state.value = set->second;
    } else {
        state.value = default_text(symbol, has_default);
    }
    state.active = state.visible || has_default;
    if (symbol.type == SymbolType::kBool) {
        if (!(state.visible && given) && holds(symbol.depends) && any_holds(symbol.implied_by)) {
            state.value = "y";
            state.active = true;
        }
        if (any_holds(symbol.selected_by)) {
            state.value = "y";
            state.active = true;
        }
    } else if (const auto range = range_of(symbol)) {
        const int64_t number = parse_int(state.value).value_or(0);
        if (number < range->first || number > range->second)
            state.value = std::to_string(number < range->first ? range->first : range->second);
    }
    return state;
}

std::optional<std::pair<int64_t, int64_t>> Evaluation::range_of(const SymbolInfo& symbol) {
    if (symbol.type != SymbolType::kInt) return std::nullopt;
    for (const SymbolInfo::Range& row : symbol.ranges) {
        if (!holds(row.condition) || !holds(symbol.depends)) continue;
        const std::optional<int64_t> low = parse_int(literal(row.low)),
                                     high = parse_int(literal(row.high));
        if (low && high) return std::pair{*low, *high};
    }
    return std::nullopt;
}

}  // namespace knlp::config
