#include "knlp/config/symbols.h"

#include "knlp/core/error.h"

#include <cctype>
#include <cstdlib>
#include <filesystem>

namespace knlp::config {
namespace {

/// Splits at blanks; "double quotes" keep blanks together, and a backslash before a quote keeps the
/// quote.
std::vector<std::string> split_words(const std::string& text, const char* variable) {
    std::vector<std::string> words;
    std::string word;
    bool quoted = false, open = false;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '"') {
            quoted = !quoted;
            open = true;
        } else if (!quoted && std::isspace(static_cast<unsigned char>(c))) {
            if (open) words.push_back(word);
            word.clear();
            open = false;
        } else {
            if (c == '\\' && i + 1 < text.size() && text[i + 1] == '"') ++i;
            word += text[i];
            open = true;
        }
    }
    if (quoted) fail(kUsage, "{}: a quote is not closed in '{}'", variable, text);
    if (open) words.push_back(word);
    return words;
}

Symbols::Override parse_override(const std::string& text, Origin origin, const char* where) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
        fail(kUsage, "{}: '{}' is not of the form NAME=VALUE", where, text);
    return {text.substr(0, equals), text.substr(equals + 1), origin};
}

void add_from_variable(const char* variable, Origin origin,
                       std::vector<Symbols::Override>& overrides) {
    const char* text = std::getenv(variable);
    if (!text) return;
    for (const std::string& word : split_words(text, variable))
        overrides.push_back(parse_override(word, origin, variable));
}

}  // namespace

std::vector<Symbols::Override> collect_overrides(const std::vector<std::string>& set_flags) {
    std::vector<Symbols::Override> overrides;
    add_from_variable("KNLP_SET", Origin::kEnvironment, overrides);
    add_from_variable("KNLP_MAKE_SET", Origin::kMake, overrides);
    for (const std::string& text : set_flags)
        overrides.push_back(parse_override(text, Origin::kCommandLine, "--set"));
    return overrides;
}

std::string default_config_path() {
    const char* given = std::getenv("KCONFIG_CONFIG");
    if (given && *given) return given;
    std::error_code error;
    return std::filesystem::exists(".config", error) ? ".config" : "";
}

}  // namespace knlp::config
