#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace knlp::report {

/// A table of texts, the same on the page, in Markdown, LaTeX and plain text.
struct TextTable {
    std::vector<std::string> head;
    std::vector<std::vector<std::string>> rows;
};

/// Columns padded to their widest cell, two blanks between, no blanks at line ends.
std::string plain_table(const TextTable& table);
/// GitHub's form; "|" in a cell is escaped.
std::string markdown_table(const TextTable& table);
/// A tabular between booktabs rules, the first column to the left; all texts escaped.
std::string latex_table(const TextTable& table);
/// RFC 4180 with "\n" line ends.
std::string csv_table(const TextTable& table);

/// Text that LaTeX prints as it is; the signs that reports use become commands.
std::string latex_escape(std::string_view text);
/// One field of CSV, quoted where it must be.
std::string csv_field(const std::string& text);

}  // namespace knlp::report
