#include "knlp/model/hellaswag.h"

#include "knlp/core/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <cmath>

namespace knlp::model {
namespace {

const std::string kItem =
    R"({"ctx":"A man sits. he","ctx_a":"A man sits.","ctx_b":"he","activity_label":"Sitting",)"
    R"("endings":["stands [step] up.","falls.","sleeps.","runs [title] Away"],"label":2})";

TEST(CleanHellaswag, DoesWhatTheHarnessDoes) {
    // Expected values from lm-evaluation-harness's preprocess(): text.strip(), replace(" [title]",
    // ". "), re.sub("\\[.*?\\]", "", text), replace("  ", " ").
    EXPECT_EQ(clean_hellaswag_text("  a b \n"), "a b");
    EXPECT_EQ(clean_hellaswag_text("How to x [title] Do y."), "How to x. Do y.");
    EXPECT_EQ(clean_hellaswag_text("a [step] b"), "a b");
    EXPECT_EQ(clean_hellaswag_text("a [x] [y]b"), "a b");
    EXPECT_EQ(clean_hellaswag_text("a [x"), "a [x");
    EXPECT_EQ(clean_hellaswag_text("a [x\n] b"), "a [x\n] b");
    EXPECT_EQ(clean_hellaswag_text("[a[b]c]"), "c]");
    EXPECT_EQ(clean_hellaswag_text("a   b"), "a  b");
    EXPECT_EQ(clean_hellaswag_text(""), "");
}

TEST(Capitalize, FirstUpperRestLower) {
    EXPECT_EQ(capitalize("heLLo WORLD"), "Hello world");
    EXPECT_EQ(capitalize("élan É"), "Élan é");
    EXPECT_EQ(capitalize("×÷"), "×÷");
    EXPECT_EQ(capitalize("1A"), "1a");
    EXPECT_EQ(capitalize(""), "");
}

TEST(CountCharacters, CountsCodePointsAndStrayBytes) {
    EXPECT_EQ(count_characters("abc"), 3);
    EXPECT_EQ(count_characters("é€😀"), 3);
    EXPECT_EQ(count_characters("a\xff\x80"), 3);
    EXPECT_EQ(count_characters("\xe2\x82"), 2);
}

TEST(HellaswagItem, HarnessStyleBuildsAndCleansTheTexts) {
    const HellaswagItem item = parse_hellaswag_line(kItem, "f", 1, HellaswagStyle::kHarness);
    EXPECT_EQ(item.context, "Sitting: A man sits. He");
    EXPECT_EQ(item.endings[0], "stands up.");
    EXPECT_EQ(item.endings[3], "runs. Away");
    EXPECT_EQ(item.label, 2);
}

TEST(HellaswagItem, CompletionStyleTakesTheTextsAsTheyAre) {
    const HellaswagItem item = parse_hellaswag_line(kItem, "f", 1, HellaswagStyle::kCompletion);
    EXPECT_EQ(item.context, "A man sits. he");
    EXPECT_EQ(item.endings[0], "stands [step] up.");
}

TEST(HellaswagItem, LabelsMayBeTexts) {
    std::string text = kItem;
    text.replace(text.find("\"label\":2"), 9, "\"label\":\"3\"");
    EXPECT_EQ(parse_hellaswag_line(text, "f", 1, HellaswagStyle::kCompletion).label, 3);
}

struct BadLine {
    const char* name;
    std::string from, to, says;
};

class HellaswagBadLine : public testing::TestWithParam<BadLine> {};

TEST_P(HellaswagBadLine, IsRefusedWithFileAndLine) {
    const BadLine& bad = GetParam();
    test::TempDir dir;
    std::string line = kItem;
    line.replace(line.find(bad.from), bad.from.size(), bad.to);
    write_file_atomic(dir.file("items.jsonl"), kItem + "\n\n" + line + "\n");
    test::expect_error(kData, {"items.jsonl:3: ", bad.says},
                       [&] { read_hellaswag(dir.file("items.jsonl"), HellaswagStyle::kHarness); });
}

INSTANTIATE_TEST_SUITE_P(
    Rows, HellaswagBadLine,
    testing::Values(
        BadLine{"NotJson", "\"label\":2}", "\"label\":", "not JSON"},
        BadLine{"NotAnObject", kItem, "[1]", "not an object"},
        BadLine{"ThreeEndings", "\"falls.\",", "", "3 endings, 4 are wanted"},
        BadLine{"EndingsNotAList", "\"endings\"", "\"ends\"", "0 endings, 4 are wanted"},
        BadLine{"EndingNotText", "\"falls.\"", "7", "ending 1 is not a text"},
        BadLine{"EndingEmpty", "\"falls.\"", "\"  \"", "ending 1 is empty"},
        BadLine{"LabelFour", "\"label\":2", "\"label\":4", "label 4 is not one of"},
        BadLine{"LabelNegative", "\"label\":2", "\"label\":-1", "label -1 is not one of"},
        BadLine{"LabelEmpty", "\"label\":2", "\"label\":\"\"", "is not one of"},
        BadLine{"LabelMissing", ",\"label\":2", "", "\"label\" is missing"},
        BadLine{"FieldMissing", "\"ctx_a\"", "\"ctx_x\"", "\"ctx_a\" is missing"},
        BadLine{"FieldNotText", "\"Sitting\"", "5", "\"activity_label\" is not a text"}),
    [](const auto& row) { return row.param.name; });

TEST(ReadHellaswag, SkipsBlankLinesAndHeedsTheLimit) {
    test::TempDir dir;
    write_file_atomic(dir.file("a.jsonl"), kItem + "\n \n" + kItem + "\n" + kItem);
    EXPECT_EQ(read_hellaswag(dir.file("a.jsonl"), HellaswagStyle::kHarness).size(), 3u);
    const auto two = read_hellaswag(dir.file("a.jsonl"), HellaswagStyle::kHarness, 2);
    ASSERT_EQ(two.size(), 2u);
    EXPECT_EQ(two[1].line, 3);
    write_file_atomic(dir.file("empty.jsonl"), "\n");
    test::expect_error(kData, {"empty.jsonl", "no items"},
                       [&] { read_hellaswag(dir.file("empty.jsonl"), HellaswagStyle::kHarness); });
}

TEST(Choose, TiesGoToTheLowestIndex) {
    ChoiceScore score{.log_prob = {-4, -2, -2, -3}, .normalizer = {4, 1, 1, 3}};
    choose(score);
    EXPECT_EQ(score.choice, 1);
    EXPECT_EQ(score.choice_normalized, 0);  // -1 -2 -2 -1
}

std::vector<ChoiceScore> scores_of(const std::vector<int>& right) {
    std::vector<ChoiceScore> scores;
    for (size_t i = 0; i < right.size(); ++i)
        scores.push_back({.line = static_cast<int64_t>(i) + 1,
                          .label = 1,
                          .choice = right[i],
                          .choice_normalized = 1 - right[i]});
    return scores;
}

TEST(Accuracy, CountsAndBinomialError) {
    const auto scores = scores_of({1, 1, 0, 1});
    const Accuracy plain = accuracy_of(scores, false), normalized = accuracy_of(scores, true);
    EXPECT_EQ(plain.right, 3);
    EXPECT_DOUBLE_EQ(plain.value, 0.75);
    EXPECT_DOUBLE_EQ(plain.standard_error, std::sqrt(0.75 * 0.25 / 4));
    EXPECT_EQ(normalized.right, 1);
}

// What defines Wilson's ends: the observed share lies z standard deviations away from them.
TEST(Wilson, EndsAreWhereTheScoreTestJustHolds) {
    for (int64_t right : {1, 29, 50, 99}) {
        const Interval interval = wilson_interval(right, 100);
        for (double p : {interval.low, interval.high})
            EXPECT_NEAR(std::abs(0.01 * static_cast<double>(right) - p),
                        1.959963984540054 * std::sqrt(p * (1 - p) / 100), 1e-12);
        EXPECT_LT(interval.low, 0.01 * static_cast<double>(right));
        EXPECT_GT(interval.high, 0.01 * static_cast<double>(right));
    }
    EXPECT_DOUBLE_EQ(wilson_interval(0, 10).low, 0.0);
    EXPECT_NEAR(wilson_interval(10, 10).high, 1.0, 1e-15);
}

// By hand: 2 (C(10,0) + C(10,1) + C(10,2)) / 2^10 = 112 / 1024.
TEST(McNemar, IsTheExactBinomialTest) {
    EXPECT_NEAR(mcnemar_p(2, 8), 0.109375, 1e-12);
    EXPECT_NEAR(mcnemar_p(8, 2), 0.109375, 1e-12);
    EXPECT_DOUBLE_EQ(mcnemar_p(0, 0), 1.0);
    EXPECT_DOUBLE_EQ(mcnemar_p(5, 5), 1.0);
    EXPECT_NEAR(mcnemar_p(0, 6), 2.0 / 64, 1e-12);
    EXPECT_GT(mcnemar_p(5000, 5100), 0.3);
    EXPECT_LT(mcnemar_p(4000, 5100), 1e-20);
}

TEST(CompareScores, CountsItemsOnlyOneSideGotRight) {
    const Comparison c =
        compare_scores(scores_of({1, 1, 0, 0, 1}), scores_of({0, 1, 1, 0, 0}), false);
    EXPECT_EQ(c.only_ours, 2);
    EXPECT_EQ(c.only_theirs, 1);
    EXPECT_DOUBLE_EQ(c.p, 1.0);
}

TEST(CompareScores, RefusesOtherItems) {
    test::expect_error(kData, {"4 items", "2"}, [] {
        compare_scores(scores_of({1, 1}), scores_of({1, 1, 1, 1}), false);
    });
    auto other = scores_of({1, 1});
    other[1].label = 3;
    test::expect_error(kData, {"line 2", "label 3"}, [&] {
        compare_scores(scores_of({1, 1}), other, false);
    });
}

}  // namespace
}  // namespace knlp::model
