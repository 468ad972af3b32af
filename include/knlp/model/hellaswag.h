#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::model {

/// How an item becomes text and how the sums of log-probabilities are normalized (docs/use.md).
enum class HellaswagStyle {
    kHarness,     // lm-evaluation-harness: activity label, cleaned text, normalized by characters
    kCompletion,  // nanoGPT / llm.c: context as it is, normalized by tokens
};

/// One item of hellaswag_val.jsonl, ready to be encoded: an ending follows the context after one
/// blank.
struct HellaswagItem {
    int64_t line = 0;  // in the file, from 1
    std::string context;
    std::array<std::string, 4> endings;
    int64_t label = 0;  // the right one, 0..3
};

/// Python's str.strip, " [title]" -> ". ", "[...]" deleted, each double blank made one; in this
/// order.
std::string clean_hellaswag_text(std::string_view text);
/// First letter upper, the rest lower (ASCII and Latin-1 letters).
std::string capitalize(std::string_view text);
/// Code points of UTF-8 text; a byte that is not UTF-8 counts as one.
int64_t count_characters(std::string_view text);

/// Error{kData} naming `file` and `line`: not JSON, a field missing or of the wrong type, not 4
/// endings, label not 0..3.
HellaswagItem parse_hellaswag_line(std::string_view json, const std::string& file, int64_t line,
                                   HellaswagStyle style);
/// All items of a .jsonl file, at most `limit` when > 0. Blank lines are skipped. Error{kData} when
/// there is none.
std::vector<HellaswagItem> read_hellaswag(const std::filesystem::path& path, HellaswagStyle style,
                                          int64_t limit = 0);

/// What the model said about one item.
struct ChoiceScore {
    int64_t line = 0, label = 0;
    std::array<double, 4> log_prob{};           // of each ending given the context, nats
    std::array<double, 4> normalizer{};         // characters or tokens, > 0
    int64_t choice = 0, choice_normalized = 0;  // largest; lowest index on ties
    bool right() const { return choice == label; }
    bool right_normalized() const { return choice_normalized == label; }
};
/// Fills `choice` and `choice_normalized` from the other fields.
void choose(ChoiceScore& score);

struct Interval {
    double low = 0, high = 0;
};
/// sqrt(p (1 - p) / n).
double binomial_standard_error(double p, int64_t n);
/// Wilson's score interval of a proportion, 95 %. n > 0.
Interval wilson_interval(int64_t right, int64_t n);
/// Two-sided exact McNemar test: `only_first` and `only_second` items that one side alone got
/// right. min(1, 2 P[Binomial(n, 1/2) <= smaller]), 1 when they never differ.
double mcnemar_p(int64_t only_first, int64_t only_second);

struct Accuracy {
    int64_t n = 0, right = 0;
    double value = 0, standard_error = 0;
    Interval wilson;
};
/// Over all scores; normalized: by choice_normalized. `scores` is not empty.
Accuracy accuracy_of(std::span<const ChoiceScore> scores, bool normalized);

/// Per-item answers of another evaluation of the same file.
struct Comparison {
    int64_t only_ours = 0, only_theirs = 0;
    double p = 1;
};
/// Compares with `theirs`, matched by line. Error{kData} unless both have the same lines and
/// labels.
Comparison compare_scores(std::span<const ChoiceScore> ours, std::span<const ChoiceScore> theirs,
                          bool normalized);

}  // namespace knlp::model
