#pragma once

#include "knlp/config/schema.h"

#include <string>
#include <string_view>
#include <vector>

namespace knlp::config {

/// One setting and where it was said: ".config:12", "--set", "KNLP_SET".
struct Setting {
    std::string name, value, where;  // value without quotes
};

/// Parses the text of a .config strictly: CONFIG_NAME=value without blanks around '=' or a comment
/// after it, strings quoted with only \" and \\ as escapes, "# CONFIG_NAME is not set", other
/// comments, empty lines. Errors name `path` and line: E_SYNTAX with the line as it should be,
/// E_UNKNOWN_SYMBOL with near names, E_TYPE and E_RANGE for a value outside its (semantic) type.
std::vector<Setting> parse_dot_config(std::string_view text, const std::string& path);

/// A line as kconfig-conf writes it; "# CONFIG_X is not set" for a bool that is n. No newline.
std::string dot_config_line(const SymbolInfo& symbol, std::string_view value);

/// The symbol of a name with or without CONFIG_. Throws E_UNKNOWN_SYMBOL, naming the new name of an
/// old one or the nearest ones; `where` starts the text.
const SymbolInfo& require_symbol(std::string_view name, const std::string& where);

/// Throws E_TYPE or E_RANGE when the value does not fit the symbol's type.
void require_type(const SymbolInfo& symbol, std::string_view value, const std::string& where);

}  // namespace knlp::config
