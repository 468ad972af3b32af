#include "src/app/help.h"

#include <fmt/format.h>

#include <algorithm>

namespace knlp::app {
namespace {

constexpr size_t kLeft = 28;
constexpr size_t kWidth = 80;

/// "  left   text", the text wrapped in its column.
std::string two_columns(const std::string& left, std::string_view text) {
    std::string out = "  " + left;
    size_t column = out.size();
    const auto new_line = [&] {
        out += "\n" + std::string(kLeft, ' ');
        column = kLeft;
    };
    if (column + 2 > kLeft)
        new_line();
    else
        out.append(kLeft - column, ' '), column = kLeft;
    bool first = true;
    while (!text.empty()) {
        const size_t end = std::min(text.find(' '), text.size());
        const std::string_view word = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (!first && column + 1 + word.size() > kWidth) {
            new_line();
            first = true;
        }
        if (!first) out += ' ';
        out += word;
        column += word.size() + (first ? 0 : 1);
        first = false;
    }
    return out + "\n";
}

bool has_visible(const CLI::App& app) {
    return !app.get_subcommands([](const CLI::App* sub) { return !sub->get_name().empty(); })
                .empty();
}

}  // namespace

std::string value_name(const CLI::Option& option) {
    if (option.get_items_expected_max() == 0) return "";
    std::string type = option.get_type_name();
    type.erase(std::min(type.find_first_of(": "), type.size()));
    if (type == "INT" || type == "UINT") return "N";
    if (type == "FLOAT") return "X";
    return type.empty() ? "TEXT" : type;
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode) const {
    std::string text = app->get_description() + "\n\n" + make_usage(app, std::move(name));
    for (const std::string& part :
         {make_positionals(app), make_subcommands(app, CLI::AppFormatMode::Normal),
          make_groups(app, CLI::AppFormatMode::Normal), make_footer(app)}) {
        const size_t begin = part.find_first_not_of('\n');
        if (begin == std::string::npos) continue;
        text += "\n" + part.substr(begin, part.find_last_not_of('\n') + 1 - begin) + "\n";
    }
    // The base class ends each group with an empty line and begins the next with one.
    for (size_t at; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);
    return text;
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string name) const {
    std::string text = "Usage: " + (name.empty() ? app->get_name() : name);
    const bool needs_command = !app->get_parent() || app->get_require_subcommand_min() > 0;
    if (has_visible(*app)) text += needs_command ? " COMMAND" : " [COMMAND]";
    text += " [OPTIONS]";
    for (const CLI::Option* option : app->get_options()) {
        if (!option->get_positional()) continue;
        const std::string value =
            value_name(*option) + (option->get_expected_max() > 1 ? "..." : "");
        text += option->get_required() ? " " + value : " [" + value + "]";
    }
    return text + "\n";
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
    const std::string value = value_name(*option);
    if (is_positional) return two_columns(value, option->get_description());
    std::string name = option->get_name(false, true);
    if (const size_t comma = name.find(','); comma != std::string::npos)
        name.insert(comma + 1, " ");
    if (!value.empty())
        name +=
            option->get_expected_min() == 0 && value[0] != '[' ? " [" + value + "]" : " " + value;
    return two_columns(name, option->get_description());
}

std::string HelpFormatter::make_subcommand(const CLI::App* sub) const {
    return two_columns(sub->get_name(), sub->get_description());
}

}  // namespace knlp::app
