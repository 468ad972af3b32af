#include "knlp/config/schema.h"

#include <algorithm>
#include <map>

namespace knlp::config {
namespace {

struct AliasInfo {
    std::string_view from, to;
};

#include "generated/config_schema.inc"

}  // namespace

std::span<const SymbolInfo> symbols() {
    return kSymbols;
}

std::span<const ChoiceInfo> choices() {
    return kChoices;
}

const SymbolInfo* find_symbol(std::string_view name) {
    static const auto by_name = [] {
        std::map<std::string_view, const SymbolInfo*> map;
        for (const SymbolInfo& symbol : kSymbols) map[symbol.name] = &symbol;
        return map;
    }();
    const auto found = by_name.find(name);
    return found == by_name.end() ? nullptr : found->second;
}

std::string_view alias_of(std::string_view name) {
    const std::span<const AliasInfo> aliases = kAliases;
    const auto found = std::find_if(aliases.begin(), aliases.end(),
                                    [&](const AliasInfo& alias) { return alias.from == name; });
    return found == aliases.end() ? std::string_view{} : found->to;
}

}  // namespace knlp::config
