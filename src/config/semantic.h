#pragma once

#include "knlp/config/schema.h"

#include <string>
#include <string_view>

namespace knlp::config {

/// What is wrong with a value, and the code of the error; empty text when nothing is.
struct ValueProblem {
    std::string code, text;  // "E_RANGE", "is outside [0,1)"
    bool ok() const { return text.empty(); }
};

/// Checks a value (without quotes) against a semantic type of a help text's `Type:` line:
///   float[a,b] float(a,b] … · enum(a,b) · list(int) · list(enum a,b) · device · path · bytes ·
///   text
/// Lists are separated by commas; an empty list is allowed. "" as the type accepts everything.
ValueProblem check_semantic(std::string_view type, std::string_view value);

/// Checks that a value fits the symbol's Kconfig type (bool y/n, int and hex grammar) and semantic
/// type. The range of an int depends on other symbols and is checked elsewhere.
ValueProblem check_type(const SymbolInfo& symbol, std::string_view value);

/// "bool", "int", "hex", "string"; for people also "float[0,1)".
std::string_view type_name(SymbolType type);

}  // namespace knlp::config
