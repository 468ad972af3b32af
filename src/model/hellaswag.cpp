#include "knlp/model/hellaswag.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace knlp::model {
namespace {

constexpr std::string_view kBlanks = " \t\n\v\f\r\x1c\x1d\x1e\x1f";

std::string strip(std::string_view text) {
    const size_t first = text.find_first_not_of(kBlanks);
    if (first == std::string_view::npos) return {};
    return std::string(text.substr(first, text.find_last_not_of(kBlanks) - first + 1));
}

/// Left to right, without overlap, once: as Python's str.replace.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
    std::string out;
    for (size_t at = 0; at < text.size();) {
        const size_t next = std::min(text.find(from, at), text.size());
        out += text.substr(at, next - at);
        if (next < text.size()) out += to;
        at = next + from.size();
    }
    return out;
}

/// Deletes what the regular expression \[.*?\] matches: up to the nearest "]" on the same line.
std::string delete_brackets(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        const size_t end = text[i] == '[' ? text.find_first_of("]\n", i) : std::string_view::npos;
        if (end != std::string_view::npos && text[end] == ']')
            i = end;
        else
            out += text[i];
    }
    return out;
}

/// One code point of UTF-8 text of ASCII and Latin-1 letters made upper or lower; others unchanged.
std::string change_case(std::string_view character, bool upper) {
    std::string out(character);
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
    if (character.size() == 1) {
        if (upper && byte(0) >= 'a' && byte(0) <= 'z') out[0] = static_cast<char>(byte(0) - 32);
        if (!upper && byte(0) >= 'A' && byte(0) <= 'Z') out[0] = static_cast<char>(byte(0) + 32);
    } else if (character.size() == 2 && byte(0) == 0xC3) {
        // U+00C0..U+00DE and U+00E0..U+00FE, without the multiplication and division signs.
        const bool is_upper = byte(1) >= 0x80 && byte(1) <= 0x9E && byte(1) != 0x97;
        const bool is_lower = byte(1) >= 0xA0 && byte(1) <= 0xBE && byte(1) != 0xB7;
        if (upper && is_lower) out[1] = static_cast<char>(byte(1) - 0x20);
        if (!upper && is_upper) out[1] = static_cast<char>(byte(1) + 0x20);
    }
    return out;
}

/// Bytes of the character at the start of `text`; 1 for a byte that begins none.
size_t character_bytes(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text.front());
    const size_t length = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
    if (length > text.size()) return 1;
    for (size_t i = 1; i < length; ++i)
        if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 1;
    return length;
}

std::string text_field(const nlohmann::json& item, const char* name, const std::string& file,
                       int64_t line) {
    const auto found = item.find(name);
    if (found == item.end() || !found->is_string())
        fail(kData, "{}:{}: field \"{}\" {}, a text is wanted", file, line, name,
             found == item.end() ? "is missing" : "is not a text");
    return found->get<std::string>();
}

int64_t label_field(const nlohmann::json& item, const std::string& file, int64_t line) {
    const auto found = item.find("label");
    if (found == item.end())
        fail(kData,
             "{}:{}: field \"label\" is missing (the test split has none: use the validation "
             "split)",
             file, line);
    // Some copies of the file have labels as text.
    const std::string text = found->is_string() ? found->get<std::string>() : found->dump();
    if (text.size() != 1 || text[0] < '0' || text[0] > '3')
        fail(kData, "{}:{}: label {} is not one of 0, 1, 2, 3", file, line, found->dump());
    return text[0] - '0';
}

}  // namespace

std::string clean_hellaswag_text(std::string_view text) {
    return replace_all(delete_brackets(replace_all(strip(text), " [title]", ". ")), "  ", " ");
}

std::string capitalize(std::string_view text) {
    std::string out;
    for (bool first = true; !text.empty(); first = false) {
        const size_t bytes = character_bytes(text);
        out += change_case(text.substr(0, bytes), first);
        text.remove_prefix(bytes);
    }
    return out;
}

int64_t count_characters(std::string_view text) {
    int64_t count = 0;
    for (; !text.empty(); ++count) text.remove_prefix(character_bytes(text));
    return count;
}

HellaswagItem parse_hellaswag_line(std::string_view json, const std::string& file, int64_t line,
                                   HellaswagStyle style) {
    const auto item = nlohmann::json::parse(json, nullptr, false);
    if (!item.is_object())
        fail(kData, "{}:{}: {}, one JSON object a line is wanted", file, line,
             item.is_discarded() ? "not JSON" : "not an object");
    const auto endings = item.find("endings");
    if (endings == item.end() || !endings->is_array() || endings->size() != 4)
        fail(kData, "{}:{}: {} endings, 4 are wanted", file, line,
             endings == item.end() || !endings->is_array() ? 0 : endings->size());
    HellaswagItem out;
    out.line = line;
    out.label = label_field(item, file, line);
    const bool harness = style == HellaswagStyle::kHarness;
    for (size_t i = 0; i < 4; ++i) {
        const nlohmann::json& ending = (*endings)[i];
        if (!ending.is_string()) fail(kData, "{}:{}: ending {} is not a text", file, line, i);
        const auto text = ending.get<std::string>();
        out.endings[i] = harness ? clean_hellaswag_text(text) : text;
        if (out.endings[i].empty()) fail(kData, "{}:{}: ending {} is empty", file, line, i);
    }
    if (!harness) {
        out.context = text_field(item, "ctx", file, line);
        return out;
    }
    out.context = clean_hellaswag_text(text_field(item, "activity_label", file, line) + ": " +
                                       text_field(item, "ctx_a", file, line) + " " +
                                       capitalize(text_field(item, "ctx_b", file, line)));
    return out;
}

std::vector<HellaswagItem> read_hellaswag(const std::filesystem::path& path, HellaswagStyle style,
                                          int64_t limit) {
    const MappedFile file(path);
    std::vector<HellaswagItem> items;
    std::string_view rest = file.text();
    for (int64_t line = 1; !rest.empty() && (limit <= 0 || std::ssize(items) < limit); ++line) {
        const size_t end = std::min(rest.find('\n'), rest.size());
        const std::string_view text = rest.substr(0, end);
        if (text.find_first_not_of(kBlanks) != std::string_view::npos)
            items.push_back(parse_hellaswag_line(text, path.string(), line, style));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (items.empty()) fail(kData, "{}: no items in it", path.string());
    return items;
}

void choose(ChoiceScore& score) {
    std::array<double, 4> normalized{};
    for (size_t i = 0; i < 4; ++i) normalized[i] = score.log_prob[i] / score.normalizer[i];
    score.choice =
        std::max_element(score.log_prob.begin(), score.log_prob.end()) - score.log_prob.begin();
    score.choice_normalized =
        std::max_element(normalized.begin(), normalized.end()) - normalized.begin();
}

double binomial_standard_error(double p, int64_t n) {
    return std::sqrt(p * (1 - p) / static_cast<double>(n));
}

Interval wilson_interval(int64_t right, int64_t n) {
    KNLP_CHECK(n > 0);
    const double z = 1.959963984540054;  // 97.5 % quantile of the standard normal
    const auto count = static_cast<double>(n);
    const double p = static_cast<double>(right) / count;
    const double centre = p + z * z / (2 * count);
    const double half = z * std::sqrt(p * (1 - p) / count + z * z / (4 * count * count));
    const double scale = 1 + z * z / count;
    return {std::max(0.0, (centre - half) / scale), std::min(1.0, (centre + half) / scale)};
}

double mcnemar_p(int64_t only_first, int64_t only_second) {
    const int64_t n = only_first + only_second;
    double tail = 0;
    for (int64_t k = 0; k <= std::min(only_first, only_second); ++k) {
        const auto x = static_cast<double>(k), count = static_cast<double>(n);
        tail += std::exp(std::lgamma(count + 1) - std::lgamma(x + 1) - std::lgamma(count - x + 1) -
                         count * std::log(2.0));
    }
    return std::min(1.0, 2 * tail);
}

Accuracy accuracy_of(std::span<const ChoiceScore> scores, bool normalized) {
    Accuracy out{.n = std::ssize(scores)};
    for (const ChoiceScore& score : scores)
        out.right += normalized ? score.right_normalized() : score.right();
    out.wilson = wilson_interval(out.right, out.n);
    out.value = static_cast<double>(out.right) / static_cast<double>(out.n);
    out.standard_error = binomial_standard_error(out.value, out.n);
    return out;
}

Comparison compare_scores(std::span<const ChoiceScore> ours, std::span<const ChoiceScore> theirs,
                          bool normalized) {
    if (ours.size() != theirs.size())
        fail(kData,
             "the baseline has {} items, this evaluation {}: they must be of the same file and "
             "limit",
             theirs.size(), ours.size());
    Comparison out;
    for (size_t i = 0; i < ours.size(); ++i) {
        if (ours[i].line != theirs[i].line || ours[i].label != theirs[i].label)
            fail(kData,
                 "item {} is line {} with label {} here, line {} with label {} in the baseline: "
                 "they must be of the same file",
                 i, ours[i].line, ours[i].label, theirs[i].line, theirs[i].label);
        const bool we = normalized ? ours[i].right_normalized() : ours[i].right();
        const bool they = normalized ? theirs[i].right_normalized() : theirs[i].right();
        out.only_ours += we && !they;
        out.only_theirs += they && !we;
    }
    out.p = mcnemar_p(out.only_ours, out.only_theirs);
    return out;
}

}  // namespace knlp::model
