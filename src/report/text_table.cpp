#include "text_table.h"

#include "format.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace knlp::report {
namespace {

/// Characters of UTF-8 text.
size_t width_of(std::string_view text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }));
}

std::string one_line_of(std::string_view text) {
    std::string out = valid_text(text);
    std::replace(out.begin(), out.end(), '\n', ' ');
    std::replace(out.begin(), out.end(), '\t', ' ');
    return out;
}

std::string markdown_cell(const std::string& text) {
    std::string out;
    for (const char c : one_line_of(text)) {
        if (c == '|' || c == '\\' || c == '`' || c == '*' || c == '_' || c == '<') out += '\\';
        out += c;
    }
    return out;
}

template <class Each>
std::string joined(const std::vector<std::string>& cells, std::string_view between, Each each) {
    std::string out;
    for (size_t i = 0; i < cells.size(); ++i) {
        if (i > 0) out += between;
        out += each(cells[i]);
    }
    return out;
}

}  // namespace

std::string plain_table(const TextTable& table) {
    std::vector<size_t> widths;
    for (const std::string& head : table.head) widths.push_back(width_of(head));
    for (const auto& row : table.rows)
        for (size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], width_of(one_line_of(row[i])));
    std::string out;
    const auto add = [&](const std::vector<std::string>& cells) {
        std::string line;
        for (size_t i = 0; i < cells.size(); ++i) {
            const std::string text = one_line_of(cells[i]);
            line += text + std::string(widths[i] - width_of(text) + 2, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    };
    add(table.head);
    for (const auto& row : table.rows) add(row);
    return out;
}

std::string markdown_table(const TextTable& table) {
    const auto line = [](const std::vector<std::string>& cells) {
        return "| " + joined(cells, " | ", markdown_cell) + " |\n";
    };
    std::string out = line(table.head) + "|";
    for (size_t i = 0; i < table.head.size(); ++i) out += " --- |";
    out += "\n";
    for (const auto& row : table.rows) out += line(row);
    return out;
}

std::string latex_escape(std::string_view text) {
    static constexpr std::pair<std::string_view, std::string_view> kSigns[] = {
        {"\\", "\\textbackslash{}"},
        {"{", "\\{"},
        {"}", "\\}"},
        {"$", "\\$"},
        {"&", "\\&"},
        {"#", "\\#"},
        {"%", "\\%"},
        {"_", "\\_"},
        {"^", "\\textasciicircum{}"},
        {"~", "\\textasciitilde{}"},
        {"<", "$<$"},
        {">", "$>$"},
        {"±", "$\\pm$"},
        {"–", "--"},
        {"−", "$-$"},
        {"×", "$\\times$"},
        {"·", "$\\cdot$"},
        {"≥", "$\\geq$"},
        {"≤", "$\\leq$"}};
    const std::string valid = one_line_of(text);
    std::string out;
    for (size_t at = 0; at < valid.size();) {
        const std::string_view rest = std::string_view(valid).substr(at);
        const auto found = std::find_if(std::begin(kSigns), std::end(kSigns),
                                        [&](const auto& s) { return rest.starts_with(s.first); });
        if (found == std::end(kSigns)) {
            out += rest.front();
            ++at;
        } else {
            out += found->second;
            at += found->first.size();
        }
    }
    return out;
}

std::string latex_table(const TextTable& table) {
    const auto line = [](const std::vector<std::string>& cells) {
        return joined(cells, " & ", latex_escape) + " \\\\\n";
    };
    std::string out = fmt::format("\\begin{{tabular}}{{l{}}}\n\\toprule\n",
                                  std::string(table.head.size() - 1, 'l'));
    out += line(table.head) + "\\midrule\n";
    for (const auto& row : table.rows) out += line(row);
    return out + "\\bottomrule\n\\end{tabular}\n";
}

std::string csv_field(const std::string& text) {
    if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
    std::string out = "\"";
    for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
    return out + "\"";
}

std::string csv_table(const TextTable& table) {
    std::string out = joined(table.head, ",", csv_field) + "\n";
    for (const auto& row : table.rows) out += joined(row, ",", csv_field) + "\n";
    return out;
}

}  // namespace knlp::report
