#include "eval_tasks.h"

#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/scoring.h"

namespace knlp::app {
namespace {

constexpr int64_t kBatch = 16;  // sequences; four belong to an item

nlohmann::json json_of(const model::ChoiceScore& score) {
    return {{"line", score.line},         {"label", score.label},
            {"log_prob", score.log_prob}, {"normalizer", score.normalizer},
            {"choice", score.choice},     {"choice_norm", score.choice_normalized}};
}

/// Per-item answers of an --out file. Error{kData} naming file and item.
std::vector<model::ChoiceScore> read_scores(const std::string& file, const nlohmann::json& full) {
    std::vector<model::ChoiceScore> scores;
    try {
        for (const nlohmann::json& item : full.at("items")) {
            model::ChoiceScore score;
            score.line = item.at("line").get<int64_t>();
            score.label = item.at("label").get<int64_t>();
            score.choice = item.at("choice").get<int64_t>();
            score.choice_normalized = item.at("choice_norm").get<int64_t>();
            scores.push_back(score);
        }
    } catch (const nlohmann::json::exception& error) {
        fail(kData, "{}: item {} is not one of an --out file of this task: {}", file, scores.size(),
             error.what());
    }
    return scores;
}

nlohmann::json json_of(const model::Accuracy& accuracy) {
    return {{"n", accuracy.n},
            {"right", accuracy.right},
            {"value", accuracy.value},
            {"standard_error", accuracy.standard_error},
            {"wilson95", {accuracy.wilson.low, accuracy.wilson.high}}};
}

nlohmann::json json_of(const model::Comparison& comparison) {
    return {{"only_ours", comparison.only_ours},
            {"only_baseline", comparison.only_theirs},
            {"mcnemar_p", comparison.p}};
}

std::string line_of(const char* name, const model::Accuracy& accuracy) {
    return fmt::format("{:<9} {:.4f} ± {:.4f}, 95 % [{:.4f}, {:.4f}], {} of {}\n", name,
                       accuracy.value, accuracy.standard_error, accuracy.wilson.low,
                       accuracy.wilson.high, accuracy.right, accuracy.n);
}

/// Answers of --baseline, read before the long work so that a wrong file is told at once.
std::vector<model::ChoiceScore> read_baseline(const EvalOptions& options) {
    if (options.baseline.empty()) return {};
    const nlohmann::json full = read_json(options.baseline);
    const std::string style = full.is_object() ? full.value("style", std::string("?")) : "?";
    if (style != options.style)
        fail(kData, "{}: style {} there, {} here: they do not compare", options.baseline, style,
             options.style);
    return read_scores(options.baseline, full);
}

/// Adds the paired comparison with the baseline to both the figures and the text.
void compare(const std::string& file, const std::vector<model::ChoiceScore>& scores,
             const std::vector<model::ChoiceScore>& theirs, EvalReport& report) {
    const model::Comparison plain = compare_scores(scores, theirs, false);
    const model::Comparison normalized = compare_scores(scores, theirs, true);
    report.summary["baseline"] = {
        {"file", file}, {"acc", json_of(plain)}, {"acc_norm", json_of(normalized)}};
    for (const auto& [name, c] : {std::pair{"acc", plain}, std::pair{"acc_norm", normalized}})
        report.text +=
            fmt::format("{:<9} against {}: {} items only here, {} only there, McNemar p = {:.3g}\n",
                        name, file, c.only_ours, c.only_theirs, c.p);
}

/// Tokens of the item with the longest text, which has the most of them or nearly so.
int64_t longest_tokens(const data::Tokenizer& tokenizer,
                       const std::vector<model::HellaswagItem>& items) {
    std::string longest;
    for (const model::HellaswagItem& item : items)
        for (const std::string& ending : item.endings)
            if (item.context.size() + 1 + ending.size() > longest.size())
                longest = item.context + " " + ending;
    return std::ssize(tokenizer.encode(longest));
}

}  // namespace

EvalReport eval_hellaswag(model::LoadedModel& model, const EvalOptions& options) {
    const auto style = options.style == "harness" ? model::HellaswagStyle::kHarness
                                                  : model::HellaswagStyle::kCompletion;
    const std::vector<model::HellaswagItem> items =
        model::read_hellaswag(options.data, style, options.limit);
    const std::vector<model::ChoiceScore> baseline = read_baseline(options);
    const int64_t batch = options.batch > 0 ? options.batch : kBatch;
    const bool bf16 = model.bf16() || options.precision == "bfloat16";
    require_eval_room(
        model, options,
        {.batch = std::min<int64_t>(batch, 4 * std::ssize(items)),
         .length = std::min(model.config().n_ctx, longest_tokens(model.tokenizer(), items)),
         .bf16 = bf16});
    const double started = steady_seconds();
    log::LiveLine live;
    const auto progress = [&](int64_t done, int64_t total) {
        live.update(fmt::format("{} of {} items", done, total));
        return stop_signal() == 0;
    };
    const std::vector<model::ChoiceScore> scores =
        score_hellaswag(model.gpt2(), model.tokenizer(), items, style, batch, bf16, progress);
    EvalReport report;
    if (stop_signal() != 0) return report;

    const model::Accuracy plain = accuracy_of(scores, false),
                          normalized = accuracy_of(scores, true);
    // The layout of lm-evaluation-harness in `results`, so that its plotters read our files.
    report.summary = {{"schema", 1},
                      {"task", "hellaswag"},
                      {"model", model.weights().string()},
                      {"style", options.style},
                      {"limit", options.limit},
                      {"dtype", model.bf16() ? "bf16" : "fp32"},
                      {"data", {{"path", options.data}, {"sha256", sha256_file(options.data)}}},
                      {"n", plain.n},
                      {"acc", json_of(plain)},
                      {"acc_norm", json_of(normalized)},
                      {"results",
                       {{"hellaswag",
                         {{"acc,none", plain.value},
                          {"acc_stderr,none", plain.standard_error},
                          {"acc_norm,none", normalized.value},
                          {"acc_norm_stderr,none", normalized.standard_error}}}}},
                      {"versions", {{"hellaswag", 1}}},
                      {"n-shot", {{"hellaswag", 0}}},
                      {"seconds", steady_seconds() - started}};
    report.text = line_of("acc", plain) + line_of("acc_norm", normalized);
    if (!options.baseline.empty()) compare(options.baseline, scores, baseline, report);
    report.full = report.summary;
    report.full["items"] = nlohmann::json::array();
    for (const model::ChoiceScore& score : scores) report.full["items"].push_back(json_of(score));
    return report;
}

}  // namespace knlp::app
