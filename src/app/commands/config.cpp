#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/config/build_info.h"
#include "knlp/config/schema.h"
#include "knlp/core/error.h"
#include "knlp/core/json.h"

#include <fmt/ranges.h>
#include <fnmatch.h>
#include <nlohmann/json.hpp>

#include <cstdio>

namespace knlp::app {
namespace {

using config::SymbolInfo;
using config::Symbols;

struct Options {
    Parser list, explain, check, diff, embedded, export_defconfig;
    std::string pattern = "*", symbol, file, first, second;
};
Options options;

std::string type_text(const SymbolInfo& symbol) {
    if (!symbol.semantic.empty()) return std::string(symbol.semantic);
    switch (symbol.type) {
        case config::SymbolType::kBool:
            return "bool";
        case config::SymbolType::kInt:
            return "int";
        case config::SymbolType::kHex:
            return "hex";
        case config::SymbolType::kString:
            return "string";
    }
    return "";
}

std::string value_text(const Symbols& symbols, std::string_view name) {
    const auto found = symbols.values().find(name);
    return found == symbols.values().end() ? "" : found->second;
}

nlohmann::json facts(const SymbolInfo& symbol, const Symbols& symbols) {
    const bool active = symbols.has(symbol.name);
    nlohmann::json value;
    if (active) value = value_text(symbols, symbol.name);
    nlohmann::json origin;
    if (active) origin = config::name_of(symbols.origin(symbol.name));
    return {{"name", symbol.name},
            {"value", value},
            {"origin", origin},
            {"type", type_text(symbol)},
            {"prompt", symbol.prompt},
            {"menu", symbol.menu_path},
            {"time", symbol.build ? "build" : "run"}};
}

int list(const Common& common) {
    const Symbols symbols = load_symbols_or_defaults(common);
    nlohmann::json rows = nlohmann::json::array();
    std::string text;
    for (const SymbolInfo& symbol : config::symbols()) {
        const std::string name(symbol.name);
        if (symbol.prompt.empty() ||
            ::fnmatch(options.pattern.c_str(), name.c_str(), FNM_CASEFOLD) != 0)
            continue;
        rows.push_back(facts(symbol, symbols));
        const bool active = symbols.has(name);
        std::string value = value_text(symbols, name);
        if (symbol.type == config::SymbolType::kString && active) value = "\"" + value + "\"";
        text += fmt::format("{:<28} {:<14} {:<10} {}\n", name, active ? value : "-",
                            active ? config::name_of(symbols.origin(name)) : "off", symbol.prompt);
    }
    if (rows.empty()) {
        std::vector<std::string> names;
        for (const SymbolInfo& symbol : config::symbols()) names.emplace_back(symbol.name);
        fail(kUsage, "no symbol matches '{}'{}", options.pattern,
             did_you_mean(options.pattern, names));
    }
    put_text(common.json ? canonical_json(rows) + "\n" : text);
    return 0;
}

nlohmann::json conditional_json(std::span<const SymbolInfo::Conditional> rows) {
    nlohmann::json all = nlohmann::json::array();
    for (const auto& row : rows) all.push_back({{"value", row.value}, {"if", row.condition}});
    return all;
}

std::string conditional_text(std::span<const SymbolInfo::Conditional> rows) {
    std::vector<std::string> parts;
    for (const auto& row : rows)
        parts.push_back(
            fmt::format("{}{}{}", row.value, row.condition.empty() ? "" : " if ", row.condition));
    return fmt::format("{}", fmt::join(parts, "\n              "));
}

std::string range_text(const SymbolInfo& symbol) {
    std::vector<std::string> parts;
    for (const auto& row : symbol.ranges)
        parts.push_back(fmt::format("{}..{}{}{}", row.low, row.high,
                                    row.condition.empty() ? "" : " if ", row.condition));
    return fmt::format("{}", fmt::join(parts, "\n              "));
}

const config::ChoiceInfo* choice_of(const SymbolInfo& symbol) {
    for (const config::ChoiceInfo& choice : config::choices())
        if (!symbol.choice.empty() && choice.name == symbol.choice) return &choice;
    return nullptr;
}

/// Upstream and older names count as well.
const SymbolInfo& wanted_symbol() {
    std::string name = options.symbol;
    if (name.starts_with("CONFIG_")) name.erase(0, 7);
    if (const SymbolInfo* symbol = config::find_symbol(name)) return *symbol;
    if (const SymbolInfo* symbol = config::find_symbol(config::alias_of(name))) return *symbol;
    std::vector<std::string> names;
    for (const SymbolInfo& symbol : config::symbols()) names.emplace_back(symbol.name);
    fail_code(kConfig, "E_UNKNOWN_SYMBOL", "unknown symbol {}{} (knlp config list shows all)",
              options.symbol, did_you_mean(name, names));
}

std::string explanation(const SymbolInfo& symbol, const Symbols& symbols) {
    std::string text =
        fmt::format("{}: {}\n\n", symbol.name, symbol.prompt.empty() ? "(derived)" : symbol.prompt);
    const auto row = [&text](std::string_view title, std::string_view value) {
        if (!value.empty()) text += fmt::format("  {:<11} {}\n", title, value);
    };
    const bool active = symbols.has(symbol.name);
    row("value", active ? fmt::format("{} (origin: {})", value_text(symbols, symbol.name),
                                      config::name_of(symbols.origin(symbol.name)))
                        : "none: its dependencies are not met");
    row("type", type_text(symbol));
    row("range", range_text(symbol));
    row("default", conditional_text(symbol.defaults));
    row("depends on", symbol.depends);
    row("forced by", conditional_text(symbol.selected_by));
    row("implied by", conditional_text(symbol.implied_by));
    if (const config::ChoiceInfo* choice = choice_of(symbol))
        row("one of", fmt::format("{} ({})", choice->name, fmt::join(choice->members, ", ")));
    row("menu", symbol.menu_path);
    row("takes effect",
        symbol.build ? "when knlp is built (make menuconfig, then make)" : "when knlp runs");
    row("on resume", symbol.resume_free ? "may change" : "must stay");
    row("declared at", symbol.location);
    return text + fmt::format("\n{}\n", symbol.help);
}

int explain(const Common& common) {
    const SymbolInfo& symbol = wanted_symbol();
    const Symbols symbols = load_symbols_or_defaults(common);
    if (!common.json) {
        put_text(explanation(symbol, symbols));
        return 0;
    }
    nlohmann::json value = facts(symbol, symbols);
    nlohmann::json ranges = nlohmann::json::array();
    for (const auto& row : symbol.ranges)
        ranges.push_back({{"low", row.low}, {"high", row.high}, {"if", row.condition}});
    value["range"] = ranges;
    value["default"] = conditional_json(symbol.defaults);
    value["depends"] = symbol.depends;
    value["selected_by"] = conditional_json(symbol.selected_by);
    value["implied_by"] = conditional_json(symbol.implied_by);
    value["choice"] = symbol.choice;
    value["resume_free"] = symbol.resume_free;
    value["location"] = symbol.location;
    value["help"] = symbol.help;
    put_text(canonical_json(value) + "\n");
    return 0;
}

int check(const Common& common) {
    Common other = common;
    if (!options.file.empty()) other.config = options.file;
    const Symbols symbols = load_symbols(other);
    const std::string path = config_path(other);
    int64_t changed = 0;
    for (const auto& [name, value] : symbols.values())
        changed += symbols.origin(name) != config::Origin::kDefault;
    const size_t total = symbols.values().size();
    if (common.json)
        put_text(canonical_json({{"file", path},
                                 {"ok", true},
                                 {"symbols", total},
                                 {"changed", changed},
                                 {"hash", symbols.hash()}}) +
                 "\n");
    else
        put_text(fmt::format("{}: in order, {} symbols, {} differ from their default\n", path,
                             total, changed));
    return 0;
}

int diff(const Common& common) {
    const auto load = [](const std::string& file) {
        Common common_of_file;
        common_of_file.config = file;
        return Symbols::load_for_any_build(config_path(common_of_file));
    };
    const Symbols a = load(options.first), b = load(options.second);
    nlohmann::json rows = nlohmann::json::array();
    std::string text;
    for (const SymbolInfo& symbol : config::symbols()) {
        const std::string x = value_text(a, symbol.name), y = value_text(b, symbol.name);
        if (x == y) continue;
        rows.push_back({{"name", symbol.name}, {"a", x}, {"b", y}});
        text +=
            fmt::format("{:<28} {} -> {}\n", symbol.name, x.empty() ? "-" : x, y.empty() ? "-" : y);
    }
    put_text(common.json ? canonical_json(rows) + "\n" : text);
    return rows.empty() ? 0 : 1;
}

int embedded(const Common& common) {
    if (!common.json) {
        put_text(std::string(config::embedded_build_config()));
        return 0;
    }
    nlohmann::json value = nlohmann::json::object();
    for (const SymbolInfo& symbol : config::symbols())
        if (symbol.build) value[std::string(symbol.name)] = config::built(symbol.name);
    put_text(canonical_json(value) + "\n");
    return 0;
}

int export_defconfig(const Common& common) {
    const std::string text = load_symbols(common).defconfig();
    put_text(common.json ? canonical_json({{"defconfig", text}}) + "\n" : text);
    return 0;
}

int run(const Common& common) {
    if (options.list.parsed()) return list(common);
    if (options.explain.parsed()) return explain(common);
    if (options.check.parsed()) return check(common);
    if (options.diff.parsed()) return diff(common);
    if (options.embedded.parsed()) return embedded(common);
    return export_defconfig(common);
}

std::function<int(const Common&)> add_options(Parser verb) {
    options = {};
    verb.require_subcommand();
    options.list = verb.add_subcommand("list", "symbols with value, origin and prompt");
    options.list.add_option("pattern", options.pattern, "names to show, such as 'GPT2_*'")
        .type_name("GLOB");
    options.explain = verb.add_subcommand("explain", "all that is known about one symbol");
    options.explain.add_option("symbol", options.symbol, "name, with or without CONFIG_")
        .required()
        .type_name("SYMBOL");
    options.check = verb.add_subcommand("check", "is a configuration in order? (default: .config)");
    options.check.add_option("file", options.file, "configuration file or run directory")
        .type_name("FILE");
    options.diff = verb.add_subcommand(
        "diff", "symbols that differ between two configurations; status 1 if any");
    options.diff.add_option("a", options.first, "configuration file or run directory")
        .required()
        .type_name("A");
    options.diff.add_option("b", options.second, "configuration file or run directory")
        .required()
        .type_name("B");
    options.embedded = verb.add_subcommand("embedded", "build symbols compiled into this binary");
    options.export_defconfig = verb.add_subcommand(
        "export-defconfig", "settings beyond the defaults, to stdout or --out FILE");
    return run;
}

}  // namespace

extern const Command cmd_config;
const Command cmd_config = {.name = "config",
                            .summary = "show, explain, check and compare configurations",
                            .needs = "",
                            .add_options = add_options,
                            .examples =
                                "knlp config list 'GPT2_*'\n"
                                "knlp config explain LEARNING_RATE\n"
                                "knlp config check --set GPT2_MAX_ITERS=200\n"
                                "knlp config diff .config results/runs/NAME\n"
                                "knlp config export-defconfig --out defconfigs/mine",
                            .prints_result = true};

}  // namespace knlp::app
