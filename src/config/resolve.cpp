#include "src/config/resolve.h"

#include "knlp/config/build_info.h"
#include "knlp/config/overrides.h"
#include "knlp/core/error.h"
#include "knlp/core/log.h"
#include "knlp/core/parse.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace knlp::config {
namespace {

std::string_view where_of(Origin origin) {
    switch (origin) {
        case Origin::kEnvironment:
            return "KNLP_SET";
        case Origin::kMake:
            return "make variable";
        case Origin::kCommandLine:
            return "--set";
        case Origin::kFlag:
            return "command line";
        case Origin::kMatrix:
            return "plan";
        default:
            return "override";
    }
}

[[noreturn]] void fail_depends(Evaluation& evaluation, const SymbolInfo& symbol,
                               const Setting& setting) {
    if (symbol.prompt.empty())
        fail_code(kConfig, "E_NOT_SETTABLE",
                  "{}: {}={}, but {} is derived from other symbols and is {} here; leave it out",
                  setting.where, symbol.name, setting.value, symbol.name,
                  evaluation.of(symbol.name).value);
    const ChoiceInfo* choice = evaluation.choice_of(symbol);
    const bool by_choice = choice && !evaluation.holds(choice->condition);
    const std::string_view expression = by_choice                          ? choice->condition
                                        : evaluation.holds(symbol.depends) ? symbol.prompt_condition
                                                                           : symbol.depends;
    const auto failing = failing_operands(expression, evaluation.lookup());
    const auto settings = settings_that_help(expression, evaluation.lookup());
    for (const std::string& help : settings) {
        const SymbolInfo* needed = evaluation.find(help.substr(0, help.find('=')));
        if (needed && needed->build && help.ends_with("=y"))
            fail_code(kNotAvailable, "E_NOT_BUILT",
                      "{}: {}={} needs CONFIG_{}, which is not built in; set it with make "
                      "menuconfig, then run make",
                      setting.where, symbol.name, setting.value, needed->name);
    }
    fail_code(kConfig, "E_DEPENDS", "{}: {}={} depends on {}, and {}; {}", setting.where,
              symbol.name, setting.value, expression, fmt::join(failing, ", "),
              settings.empty()
                  ? std::string("change that, or leave it out")
                  : fmt::format("set {} as well, or leave it out", fmt::join(settings, " or ")));
}

/// The user's word on symbols, as it grows from file to flags.
class Settings {
public:
    explicit Settings(const Schema& schema) : names_(schema, {}) {}

    /// A later word wins; one member of a choice puts the others aside.
    void put(const SymbolInfo& symbol, const Setting& setting, Origin origin) {
        if (const ChoiceInfo* choice = names_.choice_of(symbol)) {
            if (setting.value != "y") {
                asked_[setting.name] = {setting, origin};
                return;
            }
            for (const std::string_view member : choice->members)
                put_aside(member, setting, origin, *choice);
        }
        user_[setting.name] = setting.value;
        asked_[setting.name] = {setting, origin};
    }

    void drop(const std::string& name) {
        user_.erase(name);
        asked_.erase(name);
    }

    struct Asked {
        Setting setting;
        Origin origin = Origin::kDefault;
    };
    const Values& user() const { return user_; }
    const std::map<std::string, Asked, std::less<>>& asked() const { return asked_; }

private:
    void put_aside(std::string_view member, const Setting& setting, Origin origin,
                   const ChoiceInfo& choice) {
        const auto other = asked_.find(member);
        if (member != setting.name && other != asked_.end() && other->second.origin == origin &&
            other->second.setting.value == "y")
            fail_code(kConfig, "E_CHOICE",
                      "{}: {}=y, but {} set {}=y, another member of choice {}; keep one of them",
                      setting.where, setting.name, other->second.setting.where, member,
                      choice.name);
        user_.erase(std::string(member));
        if (other != asked_.end()) asked_.erase(other);
    }

    Evaluation names_;  // only for its lookup of choices
    Values user_;
    std::map<std::string, Asked, std::less<>> asked_;
};

/// What the machine and the binary are, where nobody said otherwise.
void add_build_values(const Schema& schema, const std::vector<Setting>& settings, Values& user) {
    for (const SymbolInfo& symbol : schema.symbols) {
        if (!symbol.build) continue;
        const bool said =
            std::any_of(settings.begin(), settings.end(), [&](const Setting& setting) {
                const SymbolInfo* other = find_symbol(setting.name);
                return setting.name == symbol.name ||
                       (!symbol.choice.empty() && other && other->choice == symbol.choice &&
                        setting.value == "y");
            });
        if (!said) user[std::string(symbol.name)] = built(symbol.name);
    }
}

/// Name in the schema of what an override names; itself where there is none.
std::string symbol_meant(const Symbols::Override& override_) {
    std::string name = override_.name;
    if (name.starts_with("CONFIG_")) name.erase(0, 7);
    return !find_symbol(name) && !alias_of(name).empty() ? std::string(alias_of(name)) : name;
}

Setting to_setting(const Symbols::Override& override_) {
    const std::string where(where_of(override_.origin));
    if (const ChoiceInfo* choice = find_choice(override_.name))
        return to_setting({member_meant(*choice, override_.value, where), "y", override_.origin});
    const std::string name = symbol_meant(override_);
    const SymbolInfo& symbol = require_symbol(find_symbol(name) ? name : override_.name, where);
    std::string value = override_.value;
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"' &&
        symbol.type == SymbolType::kString)
        value = value.substr(1, value.size() - 2);
    require_type(symbol, value, where);
    // A plan's cell runs in the binary that was built for it: require_build() says whether this is.
    if (!symbol.build || override_.origin == Origin::kMatrix) return {name, value, where};
    if (symbol.prompt.empty())
        fail_code(kConfig, "E_NOT_SETTABLE",
                  "{}: {} is what make found where this binary was built; leave it out", where,
                  name);
    if (value == "y" && built(symbol.name) != "y")
        fail_code(kNotAvailable, "E_NOT_BUILT",
                  "{}: {}=y, but this binary was built without CONFIG_{}; set it with make "
                  "menuconfig, then run make",
                  where, name, name);
    fail_code(kConfig, "E_BUILD_MISMATCH",
              "{}: {} decides what is compiled and cannot be changed when the binary runs; use "
              "make menuconfig, "
              "then run make",
              where, name);
}

/// Files say everything; only what differs from its default is the user's word.
Settings beyond_defaults(const Schema& schema, const std::vector<Setting>& settings,
                         Evaluation& evaluation, const Values& build_values) {
    Settings kept(schema);
    for (const auto& [name, value] : build_values)
        if (value != "n" || find_symbol(name)->choice.empty())
            kept.put(*find_symbol(name), {name, value, "this binary"}, Origin::kDefault);
    for (const Setting& setting : settings) {
        const SymbolInfo& symbol = *find_symbol(setting.name);
        const bool member_off = !symbol.choice.empty() && setting.value != "y";
        if (member_off) continue;
        if (symbol.prompt.empty() || setting.value != evaluation.default_of(symbol))
            kept.put(symbol, setting, Origin::kDotConfig);
    }
    return kept;
}

void check_members_off(const std::vector<Setting>& settings, Evaluation& evaluation) {
    for (const ChoiceInfo& choice : choices()) {
        const Setting* on = nullptr;
        for (const Setting& setting : settings) {
            const SymbolInfo* symbol = find_symbol(setting.name);
            if (symbol->choice != choice.name || setting.value != "y") continue;
            if (on)
                fail_code(
                    kConfig, "E_CHOICE",
                    "{}: {}=y, but {} set {}=y, another member of choice {}; keep one of them",
                    setting.where, setting.name, on->where, on->name, choice.name);
            on = &setting;
        }
    }
    for (const Setting& setting : settings) require_result(evaluation, setting);
}

/// In order of precedence. Of two values of one choice on one level the later stays, as with a
/// symbol.
std::vector<Symbols::Override> in_order(std::vector<Symbols::Override> overrides) {
    std::stable_sort(overrides.begin(), overrides.end(),
                     [](const auto& a, const auto& b) { return a.origin < b.origin; });
    std::vector<Symbols::Override> ordered;
    for (const Symbols::Override& one : overrides) {
        if (find_choice(one.name))
            std::erase_if(ordered, [&](const Symbols::Override& earlier) {
                return earlier.origin == one.origin && earlier.name == one.name;
            });
        ordered.push_back(one);
    }
    return ordered;
}

/// Every word of the user's holds, or belongs to a feature that an override switched off.
void check_asked(Settings& settings, Evaluation& evaluation, bool planned) {
    std::vector<std::string> idle;
    for (const auto& [name, asked] : settings.asked()) {
        const bool may_idle = asked.origin == Origin::kDotConfig ||
                              asked.origin == Origin::kDefault || asked.origin == Origin::kMatrix;
        if (may_idle && !evaluation.of(name).visible) {
            if (!find_symbol(name)->prompt.empty() && asked.origin != Origin::kDefault) {
                if (!planned)  // an arm lacks what others have: that is what a matrix is for
                    log::info("{}: {}={} has no effect with the settings given beside the file",
                              asked.setting.where, name, asked.setting.value);
                idle.push_back(name);
            }
        } else {
            require_result(evaluation, asked.setting);
        }
    }
    for (const std::string& name : idle) settings.drop(name);
}

}  // namespace

void require_result(Evaluation& evaluation, const Setting& setting) {
    const SymbolInfo& symbol = *evaluation.find(setting.name);
    const SymbolState& state = evaluation.of(setting.name);
    if (symbol.type == SymbolType::kBool && setting.value == "n" && state.value == "n") return;
    if (!state.active) fail_depends(evaluation, symbol, setting);
    if (const auto range = evaluation.range_of(symbol)) {
        const int64_t number = parse_int(setting.value).value_or(0);
        if (number < range->first || number > range->second)
            fail_code(kConfig, "E_RANGE", "{}: {}={} is outside {}..{}", setting.where, symbol.name,
                      setting.value, range->first, range->second);
    }
    if (state.value == setting.value) return;
    if (const ChoiceInfo* choice = evaluation.choice_of(symbol); choice && state.visible) {
        const std::string on = evaluation.selected(*choice);
        if (setting.value == "n")
            fail_code(kConfig, "E_CHOICE",
                      "{}: {}=n, but one member of choice {} must be y; set another one of {} to y",
                      setting.where, symbol.name, choice->name, fmt::join(choice->members, ", "));
        fail_code(kConfig, "E_CHOICE",
                  "{}: {}=y, but {} is on, another member of choice {}; keep one of them",
                  setting.where, symbol.name, on, choice->name);
    }
    fail_depends(evaluation, symbol, setting);
}

void require_build(Evaluation& evaluation, const std::string& path) {
    std::vector<std::string> different;
    for (const SymbolInfo& symbol : symbols()) {
        const SymbolState& state = evaluation.of(symbol.name);
        if (!symbol.build || symbol.prompt.empty() || !state.active) continue;
        const std::string_view here = built(symbol.name);
        if (state.value == here || (symbol.type == SymbolType::kBool && state.value == "n"))
            continue;
        different.push_back(fmt::format("{}={} (binary: {})", symbol.name, state.value, here));
    }
    if (!different.empty())
        fail_code(kConfig, "E_BUILD_MISMATCH",
                  "{}: this binary was not built for it: {}; run make with this "
                  "configuration, or use the binary that belongs to it",
                  path, fmt::join(different, ", "));
}

std::string check_setting(const std::string& name, const std::string& value,
                          const std::string& where) {
    const std::string meant = symbol_meant({name, value});
    const SymbolInfo& symbol = require_symbol(find_symbol(meant) ? meant : name, where);
    if (symbol.prompt.empty())
        fail_code(kConfig, "E_NOT_SETTABLE", "{}: {} is derived from other symbols; leave it out",
                  where, meant);
    require_type(symbol, value, where);
    return meant;
}

std::vector<std::string> check_overrides(const std::vector<std::string>& set_flags) {
    std::vector<std::string> names;
    for (const Symbols::Override& override_ : collect_overrides(set_flags)) {
        const Setting setting = to_setting(override_);
        if (override_.origin == Origin::kCommandLine) names.push_back(setting.name);
    }
    return names;
}

Resolution resolve(const std::vector<Setting>& settings,
                   const std::vector<Symbols::Override>& overrides, const std::string& path) {
    const Schema schema = built_in_schema();
    Values build_values;
    add_build_values(schema, settings, build_values);
    Values user = build_values;
    for (const Setting& setting : settings) {
        const bool member_off = !find_symbol(setting.name)->choice.empty() && setting.value != "y";
        if (!member_off) user[setting.name] = setting.value;
    }
    Evaluation of_file(schema, user);
    check_members_off(settings, of_file);
    const bool planned = std::any_of(overrides.begin(), overrides.end(),
                                     [](const auto& one) { return one.origin == Origin::kMatrix; });
    if (!path.empty() && !planned) require_build(of_file, path);

    Settings kept = beyond_defaults(schema, settings, of_file, build_values);
    for (const Symbols::Override& override_ : in_order(overrides)) {
        const Setting setting = to_setting(override_);
        if (override_.name != setting.name && override_.name != "CONFIG_" + setting.name &&
            !find_choice(override_.name))
            log::info("{}: {} is called {} here", setting.where, override_.name, setting.name);
        kept.put(*find_symbol(setting.name), setting, override_.origin);
    }
    Evaluation final(schema, kept.user());
    check_asked(kept, final, planned);
    if (!path.empty() && planned) require_build(final, path);

    Resolution result;
    for (const SymbolInfo& symbol : schema.symbols) {
        const SymbolState& state = final.of(symbol.name);
        if (!symbol.env.empty() || (symbol.type != SymbolType::kBool && !state.active)) continue;
        result.values[std::string(symbol.name)] = state.value;
        const auto asked = kept.asked().find(symbol.name);
        result.origins[std::string(symbol.name)] =
            asked == kept.asked().end() ? Origin::kDefault : asked->second.origin;
    }
    return result;
}

}  // namespace knlp::config
