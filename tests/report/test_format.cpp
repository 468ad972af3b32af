#include "src/report/format.h"

#include <gtest/gtest.h>

#include <limits>

namespace knlp::report {

TEST(Significant, KeepsTheAskedDigitsAcrossARoundingCarry) {
    EXPECT_EQ(significant(2.07345, 4), "2.073");
    EXPECT_EQ(significant(9.99996, 4), "10.00");
    EXPECT_EQ(significant(0.0512345, 3), "0.0512");
    EXPECT_EQ(significant(218.4, 3), "218");
    EXPECT_EQ(significant(-3.14159, 3), "-3.14");
    EXPECT_EQ(significant(3e-7, 2), "3.0e-07");
    EXPECT_EQ(significant(0, 3), "0");
    EXPECT_EQ(significant(std::numeric_limits<double>::infinity(), 3), "not finite");
}

TEST(Grouped, SeparatesThousandsUpToTheExtremes) {
    EXPECT_EQ(grouped(0), "0");
    EXPECT_EQ(grouped(999), "999");
    EXPECT_EQ(grouped(-1000), "-1,000");
    EXPECT_EQ(grouped(50257), "50,257");
    EXPECT_EQ(grouped(std::numeric_limits<int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(Compact, NeverPrintsFourDigits) {
    EXPECT_EQ(compact(950), "950");
    EXPECT_EQ(compact(999.6), "1.00 k");
    EXPECT_EQ(compact(1228800), "1.23 M");
    EXPECT_EQ(compact(124439808), "124 M");
    EXPECT_EQ(compact(999999), "1.00 M");
}

TEST(BytesText, UsesBinaryPrefixes) {
    EXPECT_EQ(bytes_text(640), "640 B");
    EXPECT_EQ(bytes_text(1023.9), "1.00 KiB");
    EXPECT_EQ(bytes_text(320000000), "305 MiB");
}

TEST(Escape, LeavesNothingThatMarkupCouldRead) {
    EXPECT_EQ(escape("<script a=\"b\" c='d'>&amp;"),
              "&lt;script a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;amp;");
}

TEST(Escape, ReplacesBytesThatAreNotText) {
    EXPECT_EQ(escape(std::string_view("a\0b", 3)), "a\uFFFDb");
    EXPECT_EQ(escape("\x1b[31m"), "\uFFFD[31m");
    EXPECT_EQ(escape("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), "café € 😀");
    EXPECT_EQ(escape("\xc3"), "\uFFFD");                      // cut
    EXPECT_EQ(escape("\xc0\xaf"), "\uFFFD\uFFFD");            // overlong
    EXPECT_EQ(escape("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");  // surrogate
    EXPECT_EQ(escape("\xef\xbf\xbf"), "\uFFFD\uFFFD\uFFFD");  // not a character
    EXPECT_EQ(escape("tab\tline\n"), "tab\tline\n");
}

TEST(ClipText, CutsBetweenCharacters) {
    EXPECT_EQ(clip_text("a\xc3\xa9z", 2), "a");
    EXPECT_EQ(clip_text("a\xc3\xa9z", 3), "a\xc3\xa9");
    EXPECT_EQ(clip_text("abc", 10), "abc");
}

}  // namespace knlp::report
