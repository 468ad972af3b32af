#include "knlp/config/general.h"
#include "knlp/config/schema.h"
#include "knlp/config/symbols.h"

#include "src/config/dot_config.h"
#include "src/config/evaluate.h"
#include "src/config/semantic.h"

#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/core/parse.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

// What a configuration is, for records and comparisons.
namespace knlp::config {
namespace {

nlohmann::json typed(SymbolType type, const std::string& value) {
    if (type == SymbolType::kBool) return value == "y";
    if (const auto number = parse_int(value); type == SymbolType::kInt && number) return *number;
    return value;
}

bool counts(std::string_view name) {
    const SymbolInfo* symbol = find_symbol(name);
    return symbol && !symbol->resume_free;
}

}  // namespace

std::string Symbols::defconfig() const {
    Values user;
    for (const auto& [name, value] : values_)
        if (value == "y" || find_symbol(name)->choice.empty()) user[name] = value;
    Evaluation evaluation(built_in_schema(), user);
    std::string text;
    for (const SymbolInfo& symbol : symbols()) {
        const auto found = values_.find(symbol.name);
        if (found == values_.end() || !evaluation.of(symbol.name).visible) continue;
        const bool member_off = !symbol.choice.empty() && found->second == "n";
        if (member_off || found->second == evaluation.default_of(symbol)) continue;
        text += dot_config_line(symbol, found->second) + "\n";
    }
    return text;
}

std::string Symbols::resolved_json() const {
    nlohmann::json all = nlohmann::json::object();
    for (const auto& [name, value] : values_) {
        const SymbolInfo& symbol = *find_symbol(name);
        all[name] = {{"value", typed(symbol.type, value)},
                     {"type", std::string(type_name(symbol.type))},
                     {"origin", std::string(name_of(origins_.at(name)))}};
    }
    for (const auto& [name, value] : autos_) {
        const SymbolInfo* symbol = find_symbol(name);
        const SymbolType type = symbol ? symbol->type : SymbolType::kString;
        all[name] = {{"value", typed(type, value)},
                     {"type", std::string(type_name(type))},
                     {"origin", std::string(name_of(Origin::kAuto))}};
    }
    return canonical_json(all);
}

std::string Symbols::hash() const {
    Sha256 sha;
    for (const auto& [name, value] : values_)
        if (counts(name)) sha.update(name + "=" + value + "\n");
    return sha.hex();
}

std::string Symbols::experiment_hash(std::optional<uint64_t> seed) const {
    Sha256 sha;
    for (const auto& [name, value] : values_) {
        const SymbolInfo* symbol = find_symbol(name);
        if (!symbol || (symbol->resume_free && !symbol->budget)) continue;
        if (name != seed_symbol())
            sha.update(name + "=" + value + "\n");
        else if (seed)
            sha.update(name + "=" + std::to_string(*seed) + "\n");
    }
    return sha.hex();
}

std::vector<std::string> Symbols::differences(const Symbols& other) const {
    std::set<std::string> names;
    const auto compare = [&names](const Symbols& a, const Symbols& b) {
        for (const auto& [name, value] : a.values_) {
            const auto found = b.values_.find(name);
            if (counts(name) && (found == b.values_.end() || found->second != value))
                names.insert(name);
        }
    };
    compare(*this, other);
    compare(other, *this);
    return {names.begin(), names.end()};
}

}  // namespace knlp::config
