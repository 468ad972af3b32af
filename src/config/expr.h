#pragma once

#include "knlp/config/schema.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::config {

/// What an expression needs to know about a name.
struct Operand {
    std::string value;  // "y", "12", "6e-4"; the name itself for a literal
    SymbolType type = SymbolType::kString;
    bool symbol = false;  // false: a literal
};
using Lookup = std::function<Operand(std::string_view name)>;

/// Kconfig expressions as kconfig-frontends 4.11 evaluates them, tristate values limited to y and
/// n:
///   expr := expr || expr | expr && expr | !expr | (expr) | operand | operand (= != < <= > >=)
///   operand
/// Two operands compare as integers when both are integers, else as text. The empty expression is
/// y. <choice NAME> asks the lookup for "<choice NAME>". Throws std::logic_error on a text outside
/// the grammar: the schema generator made it.
bool evaluate_expression(std::string_view expression, const Lookup& lookup);

/// Why an expression is n: "GPT2_DECAY_LR is n", one entry an operand; empty when it is y.
std::vector<std::string> failing_operands(std::string_view expression, const Lookup& lookup);

/// Settings that would turn the failing operands over, where a bool does it: "GPT2_DECAY_LR=y".
std::vector<std::string> settings_that_help(std::string_view expression, const Lookup& lookup);

/// Names of symbols in an expression, literals left out.
std::vector<std::string> symbols_in(std::string_view expression);

}  // namespace knlp::config
