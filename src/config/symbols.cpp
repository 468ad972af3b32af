#include "knlp/config/symbols.h"

#include "src/config/dot_config.h"
#include "src/config/resolve.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/parse.h"

#include <stdexcept>

namespace knlp::config {
namespace {

/// A .config has a few kilobytes; anything near this is another file.
constexpr int64_t kMaxConfigBytes = int64_t{4} << 20;

const SymbolInfo& expect_symbol(std::string_view name, SymbolType type) {
    const SymbolInfo* symbol = find_symbol(name);
    if (!symbol ||
        (symbol->type != type && !(type == SymbolType::kInt && symbol->type == SymbolType::kHex)))
        throw std::logic_error(
            fmt::format("code reads symbol {} as a type it does not have", name));
    return *symbol;
}

std::vector<std::string> split_list(const std::string& text) {
    std::vector<std::string> parts;
    std::string part;
    for (const char c : text + ",") {
        if (c != ',') {
            if (c != ' ') part += c;
            continue;
        }
        if (!part.empty()) parts.push_back(part);
        part.clear();
    }
    return parts;
}

}  // namespace

std::string_view name_of(Origin origin) {
    switch (origin) {
        case Origin::kDefault:
            return "default";
        case Origin::kDotConfig:
            return "dotconfig";
        case Origin::kEnvironment:
            return "env";
        case Origin::kMake:
            return "make";
        case Origin::kCommandLine:
            return "cli";
        case Origin::kFlag:
            return "flag";
        case Origin::kMatrix:
            return "matrix";
        case Origin::kAuto:
            return "auto";
    }
    return "";
}

Symbols Symbols::load(const std::filesystem::path& path, const std::vector<Override>& overrides) {
    return read(path, overrides, true);
}

Symbols Symbols::load_for_any_build(const std::filesystem::path& path,
                                    const std::vector<Override>& overrides) {
    return read(path, overrides, false);
}

Symbols Symbols::read(const std::filesystem::path& path, const std::vector<Override>& overrides,
                      bool check_build) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error))
        fail_code(kConfig, "E_NO_CONFIG",
                  "{}: no such configuration file; run make menuconfig or make defconfig-NAME",
                  path.string());
    const std::vector<Setting> settings =
        parse_dot_config(read_file(path, kMaxConfigBytes), path.string());
    Resolution resolution = resolve(settings, overrides, check_build ? path.string() : "");
    Symbols symbols;
    symbols.values_ = std::move(resolution.values);
    symbols.origins_ = std::move(resolution.origins);
    Lines lines;
    for (const Setting& setting : settings) lines.emplace(setting.name, setting.where);
    check_rules(symbols, lines);
    return symbols;
}

Symbols Symbols::from_values(const std::map<std::string, std::string>& values,
                             const std::vector<Override>& overrides) {
    std::vector<Setting> settings;
    for (const auto& [name, value] : values) {
        const SymbolInfo& symbol = require_symbol(name, "values");
        require_type(symbol, value, "values");
        settings.push_back({std::string(symbol.name), value, "values"});
    }
    Resolution resolution = resolve(settings, overrides, "");
    Symbols symbols;
    symbols.values_ = std::move(resolution.values);
    symbols.origins_ = std::move(resolution.origins);
    check_rules(symbols);
    return symbols;
}

Symbols Symbols::with(const std::vector<Override>& overrides, std::string* broken_rule) const {
    std::vector<Setting> settings;
    for (const auto& [name, value] : values_) settings.push_back({name, value, "configuration"});
    Resolution resolution = resolve(settings, overrides, "");
    Symbols symbols;
    symbols.values_ = std::move(resolution.values);
    symbols.origins_ = std::move(resolution.origins);
    try {
        check_rules(symbols);
    } catch (const Error& error) {
        if (!broken_rule) throw;
        *broken_rule = error.what();
    }
    return symbols;
}

bool Symbols::has(std::string_view name) const {
    return values_.find(name) != values_.end();
}

bool Symbols::on(std::string_view name) const {
    expect_symbol(name, SymbolType::kBool);
    const auto found = values_.find(name);
    return found != values_.end() && found->second == "y";
}

std::string Symbols::text(std::string_view name) const {
    expect_symbol(name, SymbolType::kString);
    const auto found = values_.find(name);
    if (found == values_.end())
        throw std::logic_error(fmt::format("code reads symbol {}, which is off", name));
    return found->second;
}

int64_t Symbols::integer(std::string_view name) const {
    expect_symbol(name, SymbolType::kInt);
    const auto found = values_.find(name);
    if (found == values_.end())
        throw std::logic_error(fmt::format("code reads symbol {}, which is off", name));
    if (found->second.starts_with("0x")) return std::stoll(found->second, nullptr, 16);
    return parse_int(found->second).value();
}

double Symbols::real(std::string_view name, RealRange range) const {
    const std::string value = text(name);
    const std::optional<double> x = parse_real(value);
    if (!x) fail_code(kConfig, "E_TYPE", "{}={} is not a number such as 0.1 or 6e-4", name, value);
    if (*x < range.min || *x > range.max || *x <= range.above || *x >= range.below) {
        const bool open_low = range.above > range.min, open_high = range.below < range.max;
        fail_code(kConfig, "E_RANGE", "{}={} is outside {}{:g}, {:g}{}", name, value,
                  open_low ? '(' : '[', open_low ? range.above : range.min,
                  open_high ? range.below : range.max, open_high ? ')' : ']');
    }
    return *x;
}

std::vector<int64_t> Symbols::integers(std::string_view name) const {
    std::vector<int64_t> numbers;
    for (const std::string& part : split_list(text(name))) {
        const std::optional<int64_t> number = parse_int(part);
        if (!number)
            fail_code(kConfig, "E_TYPE", "{}={}: '{}' is not an integer", name, text(name), part);
        numbers.push_back(*number);
    }
    return numbers;
}

std::vector<std::string> Symbols::words(std::string_view name) const {
    return split_list(text(name));
}

Origin Symbols::origin(std::string_view name) const {
    if (autos_.find(name) != autos_.end()) return Origin::kAuto;
    const auto found = origins_.find(name);
    return found == origins_.end() ? Origin::kDefault : found->second;
}

void Symbols::record_auto(std::string_view name, std::string value) {
    autos_[std::string(name)] = std::move(value);
}

std::string Symbols::dot_config() const {
    std::string text = "# Configuration of knlp\n";
    for (const SymbolInfo& symbol : symbols()) {
        const auto found = values_.find(symbol.name);
        if (found == values_.end()) continue;
        text += dot_config_line(symbol, found->second);
        text += '\n';
    }
    return text;
}

}  // namespace knlp::config
