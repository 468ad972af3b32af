#include "src/report/text_table.h"

#include <gtest/gtest.h>

namespace knlp::report {
namespace {

const TextTable kTable{.head = {"arm", "p"}, .rows = {{"a±b", "1"}, {"x|y_z", "\"2\",\n3"}}};

TEST(TextTable, PlainColumnsLineUpByCharacters) {
    EXPECT_EQ(plain_table(kTable), "arm    p\na±b    1\nx|y_z  \"2\", 3\n");
}

TEST(TextTable, MarkdownEscapesWhatWouldEndACell) {
    EXPECT_EQ(markdown_table(kTable),
              "| arm | p |\n| --- | --- |\n| a±b | 1 |\n"
              "| x\\|y\\_z | \"2\", 3 |\n");
}

TEST(TextTable, LatexEscapesWhatWouldBeACommand) {
    EXPECT_EQ(latex_escape("50% of $x_1 & {#} ~^\\"),
              "50\\% of \\$x\\_1 \\& \\{\\#\\} \\textasciitilde{}\\textasciicircum{}"
              "\\textbackslash{}");
    EXPECT_EQ(latex_escape("1 ± 2 – 3 < 4 · 5"), "1 $\\pm$ 2 -- 3 $<$ 4 $\\cdot$ 5");
    EXPECT_EQ(latex_table(kTable),
              "\\begin{tabular}{ll}\n\\toprule\narm & p \\\\\n\\midrule\na$\\pm$b & 1 \\\\\n"
              "x|y\\_z & \"2\", 3 \\\\\n\\bottomrule\n\\end{tabular}\n");
}

TEST(TextTable, CsvQuotesWhatNeedsIt) {
    EXPECT_EQ(csv_table(kTable), "arm,p\na±b,1\nx|y_z,\"\"\"2\"\",\n3\"\n");
}

}  // namespace
}  // namespace knlp::report
