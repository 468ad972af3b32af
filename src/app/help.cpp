#include "src/app/help.h"

#include <algorithm>
#include <string_view>
#include <vector>

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

std::string usage(Parser parser, const std::string& path) {
    std::string text = "Usage: " + path;
    const bool needs_command = !parser.parent() || parser.requires_subcommand();
    if (!parser.subcommands().empty()) text += needs_command ? " COMMAND" : " [COMMAND]";
    text += " [OPTIONS]";
    for (const OptionFacts& option : parser.options()) {
        if (!option.positional) continue;
        const std::string value = option.value + (option.repeated ? "..." : "");
        text += option.required ? " " + value : " [" + value + "]";
    }
    return text + "\n";
}

std::string row_of(const OptionFacts& option) {
    if (option.positional) return two_columns(option.value, option.text);
    std::string left = option.names;
    if (const size_t comma = left.find(','); comma != std::string::npos)
        left.insert(comma + 1, " ");
    if (!option.value.empty()) {
        const bool brackets = option.value_optional && option.value[0] != '[';
        left += brackets ? " [" + option.value + "]" : " " + option.value;
    }
    return two_columns(left, option.text);
}

/// A part of the help, with its title.
struct Section {
    std::string title, rows;
};

/// Positional arguments, commands, then the groups of options as they first appear.
std::vector<Section> sections_of(Parser parser) {
    std::vector<Section> sections = {{"Positionals", ""}, {"Commands", ""}};
    for (const Parser& sub : parser.subcommands())
        sections[1].rows += two_columns(sub.name(), sub.summary());
    for (const OptionFacts& option : parser.options()) {
        const std::string& title = option.positional ? sections[0].title : option.group;
        auto section = std::find_if(sections.begin(), sections.end(),
                                    [&](const Section& one) { return one.title == title; });
        if (section == sections.end()) section = sections.insert(section, {title, ""});
        section->rows += row_of(option);
    }
    return sections;
}

}  // namespace

std::string help_text(Parser parser, const std::string& path) {
    std::string text = parser.summary() + "\n\n" + usage(parser, path);
    for (const Section& section : sections_of(parser))
        if (!section.rows.empty()) text += "\n" + section.title + ":\n" + section.rows;
    return text + "\n" + parser.footer() + "\n";
}

}  // namespace knlp::app
