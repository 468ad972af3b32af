#include "src/config/dot_config.h"

#include "src/config/semantic.h"

#include "knlp/core/error.h"

#include <map>

namespace knlp::config {
namespace {

constexpr std::string_view kPrefix = "CONFIG_";
constexpr std::string_view kNotSet = " is not set";

std::string_view trim(std::string_view text) {
    const size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

bool is_name(std::string_view text) {
    return !text.empty() &&
           text.find_first_not_of(
               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
               std::string_view::npos;
}

std::string quote(std::string_view value) {
    std::string quoted = "\"";
    for (const char c : value) {
        if (c == '"' || c == '\\') quoted += '\\';
        quoted += c;
    }
    return quoted + '"';
}

/// Parses a quoted string at the start of `text`; false when it does not end or has another escape.
bool unquote(std::string_view text, std::string& value, std::string_view& rest) {
    size_t i = 1;
    for (; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\') {
            if (i + 1 >= text.size() || (text[i + 1] != '"' && text[i + 1] != '\\')) return false;
            ++i;
        }
        value += text[i];
    }
    if (i >= text.size()) return false;
    rest = text.substr(i + 1);
    return true;
}

[[noreturn]] void fail_syntax(const std::string& where, std::string_view why,
                              std::string_view corrected) {
    fail_code(kConfig, "E_SYNTAX", "{}: {}; write: {}", where, why, corrected);
}

/// Right side of CONFIG_X=…: the value, after its form was checked.
std::string parse_value(const SymbolInfo& symbol, std::string_view text, const std::string& where) {
    std::string value;
    if (!text.empty() && text.front() == '"') {
        std::string_view rest;
        if (!unquote(text, value, rest))
            fail_syntax(where,
                        "the string is not closed, or has an escape other than \\\" and \\\\",
                        fmt::format("CONFIG_{}=\"…\"", symbol.name));
        if (!rest.empty())
            fail_syntax(where, fmt::format("'{}' after the value", trim(rest)),
                        dot_config_line(symbol, value));
        if (symbol.type != SymbolType::kString)
            fail_syntax(where,
                        fmt::format("CONFIG_{} is of type {} and takes no quotes", symbol.name,
                                    type_name(symbol.type)),
                        dot_config_line(symbol, value));
        return value;
    }
    const size_t comment = text.find(" #");
    if (comment != std::string_view::npos || trim(text) != text)
        fail_syntax(where,
                    comment != std::string_view::npos ? "a comment after the value"
                                                      : "blanks around the value",
                    dot_config_line(symbol, trim(text.substr(0, comment))));
    if (symbol.type == SymbolType::kString)
        fail_syntax(where, fmt::format("CONFIG_{} is a string and wants quotes", symbol.name),
                    dot_config_line(symbol, text));
    return std::string(text);
}

/// "# CONFIG_X is not set" gives X; "" for any other comment.
std::string_view name_not_set(std::string_view line) {
    line.remove_prefix(1);
    line = trim(line);
    if (!line.starts_with(kPrefix) || !line.ends_with(kNotSet)) return {};
    const std::string_view name =
        line.substr(kPrefix.size(), line.size() - kPrefix.size() - kNotSet.size());
    return is_name(name) ? name : std::string_view{};
}

Setting parse_line(std::string_view line, const std::string& where) {
    if (line.front() == '#') {
        const SymbolInfo& symbol = require_symbol(name_not_set(line), where);
        if (symbol.type != SymbolType::kBool)
            fail_syntax(where,
                        fmt::format("CONFIG_{} is of type {} and cannot be \"not set\"",
                                    symbol.name, type_name(symbol.type)),
                        dot_config_line(symbol, "…"));
        return {std::string(symbol.name), "n", where};
    }
    const size_t equals = line.find('=');
    const std::string_view left = trim(line.substr(0, equals));
    if (equals == std::string_view::npos || !left.starts_with(kPrefix) || !is_name(left))
        fail_syntax(where, fmt::format("'{}' is not a setting", line.substr(0, 60)),
                    "CONFIG_NAME=value, or \"# CONFIG_NAME is not set\"");
    const SymbolInfo& symbol = require_symbol(left, where);
    const std::string_view right = line.substr(equals + 1);
    if (left.size() != equals || (!right.empty() && trim(right).data() != right.data()))
        fail_syntax(where, "blanks around '='", fmt::format("{}={}", left, trim(right)));
    Setting setting{std::string(symbol.name), parse_value(symbol, right, where), where};
    require_type(symbol, setting.value, where);
    return setting;
}

}  // namespace

const SymbolInfo& require_symbol(std::string_view name, const std::string& where) {
    const std::string_view shown = name;
    if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
    if (const SymbolInfo* symbol = find_symbol(name)) return *symbol;
    const std::string_view renamed = alias_of(name);
    if (!renamed.empty())
        fail_code(kConfig, "E_UNKNOWN_SYMBOL", "{}: unknown symbol {}; its name here is {}", where,
                  shown, renamed);
    std::vector<std::string> names;
    for (const SymbolInfo& symbol : symbols())
        if (!symbol.prompt.empty()) names.emplace_back(symbol.name);
    fail_code(kConfig, "E_UNKNOWN_SYMBOL", "{}: unknown symbol {}{} (knlp config list shows all)",
              where, shown, did_you_mean(name, names));
}

void require_type(const SymbolInfo& symbol, std::string_view value, const std::string& where) {
    const ValueProblem problem = check_type(symbol, value);
    if (!problem.ok())
        fail_code(kConfig, problem.code, "{}: {}={} {}", where, symbol.name, value, problem.text);
}

std::string dot_config_line(const SymbolInfo& symbol, std::string_view value) {
    if (symbol.type == SymbolType::kBool && value == "n")
        return fmt::format("# CONFIG_{} is not set", symbol.name);
    return fmt::format("CONFIG_{}={}", symbol.name,
                       symbol.type == SymbolType::kString ? quote(value) : std::string(value));
}

std::vector<Setting> parse_dot_config(std::string_view text, const std::string& path) {
    std::vector<Setting> settings;
    std::map<std::string, std::string> seen;
    int64_t number = 0;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        ++number;
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (trim(line).empty()) continue;
        if (line.front() == '#' && name_not_set(line).empty()) continue;
        Setting setting = parse_line(line, fmt::format("{}:{}", path, number));
        const auto [first, inserted] = seen.emplace(setting.name, setting.where);
        if (!inserted)
            fail_syntax(setting.where,
                        fmt::format("CONFIG_{} was set before, at {}", setting.name, first->second),
                        "one of the two lines only");
        settings.push_back(std::move(setting));
    }
    return settings;
}

}  // namespace knlp::config
