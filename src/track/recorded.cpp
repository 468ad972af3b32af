#include "knlp/track/recorded.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "knlp/config/schema.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"

namespace knlp::track {
namespace {

namespace fs = std::filesystem;

bool may_move(std::string_view symbol) {
    const config::SymbolInfo* info = config::find_symbol(symbol);
    return info != nullptr && info->resume_free;
}

/// CONFIG_NAME="/place" with the place recorded; any other line as it is.
std::string recorded_line(std::string_view line) {
    const size_t equals = line.find("=\"/");
    if (!line.starts_with("CONFIG_") || equals == std::string_view::npos || !line.ends_with('"') ||
        !may_move(line.substr(7, equals - 7)))
        return std::string(line);
    const std::string_view place = line.substr(equals + 2, line.size() - equals - 3);
    return std::string(line.substr(0, equals + 2)) + recorded_path(place) + '"';
}

/// `text` with `change` made to each part between separators.
template <class Change>
std::string each(std::string_view text, char separator, Change change) {
    std::string out;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(separator, begin), text.size());
        out += change(text.substr(begin, end - begin));
        if (end < text.size()) out += separator;
        begin = end + 1;
    }
    return out;
}

}  // namespace

std::string recorded_path(const fs::path& path) {
    if (!path.is_absolute()) return path.string();
    std::error_code error;
    const fs::path here = fs::current_path(error);
    return error ? path.filename().string() : path.lexically_proximate(here).string();
}

std::string recorded_command(std::string_view command_line) {
    return each(command_line, ' ', [](std::string_view word) {
        const size_t equals = word.rfind("=/");
        const size_t begin = word.starts_with('/')              ? 0
                             : equals == std::string_view::npos ? word.size()
                                                                : equals + 1;
        return std::string(word.substr(0, begin)) +
               (begin < word.size() ? recorded_path(word.substr(begin)) : "");
    });
}

std::string recorded_config(std::string_view dot_config) {
    return each(dot_config, '\n', recorded_line);
}

std::string recorded_settings(std::string_view resolved_json) {
    nlohmann::json settings = parse_json(resolved_json, "config.resolved.json");
    for (auto& [name, entry] : settings.items())
        if (may_move(name) && entry["value"].is_string())
            entry["value"] = recorded_path(entry["value"].get<std::string>());
    return canonical_json(settings);
}

std::string process_key() {
    return sha256_hex(host().boot_id + "/" + std::to_string(getpid())).substr(0, 16);
}

}  // namespace knlp::track
