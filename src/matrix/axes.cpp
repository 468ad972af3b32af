#include "axes.h"

#include "decimal.h"

#include "knlp/config/general.h"
#include "knlp/config/matrix.h"
#include "knlp/config/overrides.h"
#include "knlp/config/schema.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/parse.h"

#include <algorithm>
#include <map>
#include <optional>

namespace knlp::matrix {
namespace {

constexpr int64_t kMaxSweepBytes = int64_t{1} << 20;

std::string trimmed(std::string_view text) {
    const size_t begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return "";
    return std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(separator, begin), text.size());
        parts.push_back(trimmed(text.substr(begin, end - begin)));
        begin = end + 1;
    }
    return parts;
}

std::string unquoted(const std::string& text) {
    const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
    return quoted ? text.substr(1, text.size() - 2) : text;
}

/// The values that a text lists or counts.
std::vector<std::string> values_of(const std::string& text, const std::string& where) {
    if (text.find('|') == std::string::npos) {
        const std::vector<std::string> parts = split(text, ':');
        if (parts.size() == 3) {
            const auto lo = parse_decimal(parts[0]), step = parse_decimal(parts[1]),
                       hi = parse_decimal(parts[2]);
            if (lo && step && hi) return decimal_range(*lo, *step, *hi, where);
        }
    }
    std::vector<std::string> values;
    for (const std::string& part : split(text, '|')) {
        if (part.empty()) fail(kUsage, "{}: a value is missing in '{}'", where, text);
        values.push_back(unquoted(part));
    }
    return values;
}

void require_says_something(const std::string& name, const std::string& where) {
    const config::SymbolInfo& symbol = *config::find_symbol(name);
    if (name == config::seed_symbol())
        fail(kUsage, "{}: {} is no axis; MATRIX_SEEDS lists the seeds", where, name);
    if (symbol.resume_free && !symbol.budget)
        fail(kUsage, "{}: {} says nothing about a run's result, so it is no axis", where, name);
}

/// Two spellings of one number are one value.
std::string meaning(const std::string& value) {
    const std::optional<double> number = parse_real(value);
    return number ? fmt::format("{}", *number) : value;
}

Axis checked_axis(const std::string& name, const std::vector<std::string>& values,
                  const std::string& where) {
    Axis axis;
    const config::ChoiceInfo* choice = config::find_choice(name);
    for (const std::string& value : values) {
        if (choice) {
            const std::string member = config::member_meant(*choice, value, where);
            require_says_something(member, where);
            axis.name = name;
            axis.values.push_back({value, {{member, "y"}}});
        } else {
            axis.name = config::check_setting(name, value, where);
            require_says_something(axis.name, where);
            axis.values.push_back({value, {{axis.name, value}}});
        }
    }
    std::map<std::string, std::string> seen;
    for (const AxisValue& value : axis.values) {
        const Setting& setting = value.settings[0];
        const auto [other, fresh] =
            seen.emplace(setting.name + "=" + meaning(setting.value), value.label);
        if (!fresh)
            fail(kUsage,
                 "{}: {} has the value {} twice, as {} and {}; its cells would be duplicates",
                 where, axis.name, value.label, other->second, value.label);
    }
    return axis;
}

Axis parse_axis(const std::string& text, const std::string& where) {
    const size_t equals = text.find('=');
    std::string name = trimmed(text.substr(0, equals));
    if (equals == std::string::npos || name.empty())
        fail(kUsage, "{}: '{}' is no axis; write SYMBOL=a|b or SYMBOL=start:step:end", where, text);
    if (name.starts_with("CONFIG_")) name.erase(0, 7);
    return checked_axis(name, values_of(trimmed(text.substr(equals + 1)), where), where);
}

}  // namespace

std::vector<Axis> parse_axes(const std::string& text, const std::string& where) {
    std::vector<Axis> axes;
    for (const std::string& part : split(text, ';'))
        if (!part.empty()) axes.push_back(parse_axis(part, where));
    return axes;
}

std::vector<Axis> read_sweep_file(const std::filesystem::path& file) {
    std::vector<Axis> axes;
    int64_t number = 0;
    for (const std::string& line : split(read_file(file, kMaxSweepBytes), '\n')) {
        ++number;
        const std::string text = trimmed(line.substr(0, line.find('#')));
        if (!text.empty())
            axes.push_back(parse_axis(text, fmt::format("{}:{}", file.string(), number)));
    }
    if (axes.empty())
        fail(kUsage, "{}: no axis in it; write a line such as CONFIG_LEARNING_RATE=1e-3|3e-3",
             file.string());
    return axes;
}

Axis axis_of(const config::MenuAxis& menu) {
    Axis axis{.name = menu.name, .values = {}};
    for (const config::MenuAxis::Value& value : menu.values) {
        axis.values.push_back({value.label, {}});
        for (const auto& [name, text] : value.settings)
            axis.values.back().settings.push_back({name, text});
    }
    return axis;
}

void require_distinct(const std::vector<Axis>& axes) {
    std::map<std::string, std::string> axis_of_symbol;
    for (const Axis& axis : axes) {
        std::map<std::string, bool> own;
        for (const AxisValue& value : axis.values)
            for (const Setting& setting : value.settings) own[setting.name] = true;
        for (const auto& [symbol, unused] : own) {
            const auto [other, fresh] = axis_of_symbol.emplace(symbol, axis.name);
            if (!fresh)
                fail(kUsage, "{} is set by two axes, {} and {}; leave one of them out", symbol,
                     other->second, axis.name);
        }
    }
}

}  // namespace knlp::matrix
