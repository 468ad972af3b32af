#include "src/config/semantic.h"

#include "knlp/core/error.h"
#include "knlp/core/parse.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <vector>

namespace knlp::config {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    if (text.empty()) return parts;
    size_t begin = 0;
    for (size_t end; (end = text.find(separator, begin)) != std::string_view::npos; begin = end + 1)
        parts.emplace_back(text.substr(begin, end - begin));
    parts.emplace_back(text.substr(begin));
    for (std::string& part : parts) {
        part.erase(0, part.find_first_not_of(' '));
        part.erase(part.find_last_not_of(' ') + 1);
    }
    return parts;
}

/// Content of "name(...)" or nullopt.
std::optional<std::string_view> inside(std::string_view type, std::string_view name) {
    if (!type.starts_with(name) || !type.ends_with(')') || type.size() <= name.size())
        return std::nullopt;
    if (type[name.size()] != '(') return std::nullopt;
    return type.substr(name.size() + 1, type.size() - name.size() - 2);
}

ValueProblem check_float(std::string_view type, std::string_view value) {
    const std::string_view interval = type.substr(5);  // "[0,1)", or "" for any number
    const std::optional<double> x = parse_real(value);
    if (!x) return {"E_TYPE", "is not a number such as 0.1 or 6e-4"};
    if (interval.empty()) return {};
    const size_t comma = interval.find(',');
    if (interval.size() < 5 || comma == std::string_view::npos)
        throw std::logic_error(fmt::format("semantic type '{}' is malformed", type));
    const auto low = parse_real(interval.substr(1, comma - 1));
    const auto high = parse_real(interval.substr(comma + 1, interval.size() - comma - 2));
    if (!low || !high) throw std::logic_error(fmt::format("semantic type '{}' is malformed", type));
    const bool above = interval.front() == '[' ? *x >= *low : *x > *low;
    const bool below = interval.back() == ']' ? *x <= *high : *x < *high;
    if (above && below) return {};
    return {"E_RANGE", fmt::format("is outside {}", interval)};
}

ValueProblem check_word(const std::vector<std::string>& allowed, std::string_view value) {
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return {};
    return {"E_TYPE",
            fmt::format("is none of {}{}", fmt::join(allowed, ", "), did_you_mean(value, allowed))};
}

ValueProblem check_list(std::string_view element, std::string_view value) {
    for (const std::string& part : split(value, ',')) {
        if (element == "int") {
            if (!parse_int(part))
                return {"E_TYPE", fmt::format("has '{}' where an integer belongs", part)};
        } else if (const ValueProblem problem = check_word(split(element.substr(5), ','), part);
                   !problem.ok()) {
            return {problem.code, fmt::format("has '{}', which {}", part, problem.text)};
        }
    }
    return {};
}

ValueProblem check_device(std::string_view value) {
    if (value == "auto" || value == "cpu" || value == "cuda") return {};
    if (value.starts_with("cuda:")) {
        const std::optional<uint64_t> index = parse_unsigned(value.substr(5));
        if (index && *index < 1024) return {};
    }
    return {"E_TYPE", "is none of auto, cpu, cuda, cuda:N"};
}

/// Kconfig's own grammar: no leading zeros, '-' but no '+'.
bool is_kconfig_int(std::string_view value) {
    const std::optional<int64_t> number = parse_int(value);
    return number && std::to_string(*number) == value;
}

bool is_kconfig_hex(std::string_view value) {
    if (!value.starts_with("0x") || value.size() < 3 || value.size() > 18) return false;
    return value.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
}

}  // namespace

ValueProblem check_semantic(std::string_view type, std::string_view value) {
    if (type.empty()) return {};
    if (type.starts_with("float")) return check_float(type, value);
    if (const auto words = inside(type, "enum")) return check_word(split(*words, ','), value);
    if (const auto element = inside(type, "list")) return check_list(*element, value);
    if (type == "device") return check_device(value);
    if (type == "bytes") {
        if (parse_bytes(value)) return {};
        return {"E_TYPE", "is not a size such as 512M or 4GiB"};
    }
    if (type == "path") return {};
    if (type == "text") {
        if (std::none_of(value.begin(), value.end(), [](unsigned char c) { return c < ' '; }))
            return {};
        return {"E_TYPE", "is not a text: it has a control character"};
    }
    throw std::logic_error(fmt::format("semantic type '{}' is not known", type));
}

ValueProblem check_type(const SymbolInfo& symbol, std::string_view value) {
    switch (symbol.type) {
        case SymbolType::kBool:
            if (value == "y" || value == "n") return {};
            return {"E_TYPE", "is neither y nor n"};
        case SymbolType::kInt:
            if (is_kconfig_int(value)) return {};
            return {"E_TYPE", "is not an integer (digits, no leading zero)"};
        case SymbolType::kHex:
            if (is_kconfig_hex(value)) return {};
            return {"E_TYPE", "is not a number of the form 0x1f"};
        case SymbolType::kString:
            break;
    }
    const bool control = std::any_of(value.begin(), value.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    if (control) return {"E_TYPE", "holds a control character"};
    return check_semantic(symbol.semantic, value);
}

std::string_view type_name(SymbolType type) {
    switch (type) {
        case SymbolType::kBool:
            return "bool";
        case SymbolType::kInt:
            return "int";
        case SymbolType::kHex:
            return "hex";
        case SymbolType::kString:
            return "string";
    }
    return "";
}

}  // namespace knlp::config
