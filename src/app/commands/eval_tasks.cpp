#include "eval_tasks.h"

#include "eval_data.h"
#include "model_memory.h"
#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/data/batches.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/scoring.h"
#include "knlp/train/evaluator.h"

#include <cmath>
#include <numbers>
#include <optional>

namespace knlp::app {
namespace {

constexpr int64_t kDefaultEvalTokens = 262144, kDefaultBatch = 8;

std::string precision_of(const model::LoadedModel& model, const EvalOptions& options,
                         const nlohmann::json& manifest) {
    if (model.bf16()) return "bfloat16";  // the weights are
    if (!options.precision.empty()) return options.precision;
    return from_manifest<std::string>(manifest, "eval", "precision", "float32");
}

int64_t batch_of(const EvalOptions& options, const nlohmann::json& manifest) {
    if (options.batch > 0) return options.batch;
    return from_manifest<int64_t>(manifest, "batch", "micro", kDefaultBatch);
}

nlohmann::json common_fields(const model::LoadedModel& model, const EvalOptions& options,
                             const std::string& data, const std::string& sha256) {
    return {{"schema", 1},
            {"task", options.task},
            {"model", model.weights().string()},
            {"device", model.device()},
            {"data", {{"path", data}, {"sha256", sha256}}}};
}

/// A live line while a long evaluation runs; ends it when a signal has come.
class Progress {
public:
    bool operator()(int64_t done, int64_t total) {
        const double elapsed = steady_seconds() - started_;
        const double left = elapsed * static_cast<double>(total - done) / static_cast<double>(done);
        line_.update(fmt::format("{} of {}, {:.0f} s left", done, total, left));
        return stop_signal() == 0;
    }

private:
    log::LiveLine line_;
    double started_ = steady_seconds();
};

/// Bytes of text that the targets of the windows stand for; 0 without a tokenizer.
int64_t window_bytes(const model::LoadedModel& model, const data::TokenFile& tokens,
                     const std::vector<int64_t>& starts, int64_t n_ctx) {
    if (!model.has_tokenizer()) return 0;
    int64_t bytes = 0;
    std::vector<int64_t> ids(static_cast<size_t>(n_ctx));
    for (int64_t start : starts) {
        tokens.read(start + 1, ids);
        bytes += model::text_bytes(ids, model.tokenizer());
    }
    return bytes;
}

nlohmann::json number_or_null(std::optional<double> value) {
    return value && !std::isnan(*value) ? nlohmann::json(*value) : nlohmann::json();
}

/// " ± 0.012300"; nothing where one window leaves the error unknown.
std::string error_text(double standard_error) {
    return std::isnan(standard_error) ? "" : fmt::format(" ± {:.6f}", standard_error);
}

std::string bits_text(double bits) {
    return std::isnan(bits) ? "" : fmt::format(", {:.4f} bits per byte", bits);
}

}  // namespace

void require_eval_room(model::LoadedModel& model, const EvalOptions& options,
                       model::ScoringShape shape) {
    const auto terms = options.task == "loss" ? model::loss_terms : model::scoring_terms;
    shape.bf16_weights = model.bf16();
    shape.device = model.gpt2().device();
    shape.threads = options.model.threads > 0 ? options.model.threads : usable_cores();
    const int64_t batch = shape.batch;
    require_room(
        model, batch,
        [&](int64_t fewer) {
            shape.batch = fewer;
            return terms(model.config(), shape);
        },
        [](int64_t fitting) {
            return fitting > 0 ? fmt::format("--batch {} would fit", fitting)
                               : "not even --batch 1 fits: take --dtype bf16 or a smaller model";
        });
}

EvalReport eval_loss(model::LoadedModel& model, const EvalOptions& options) {
    const EvalData data = open_eval_data(model, options.data, options.split);
    const nlohmann::json& manifest = data.run_manifest;
    const int64_t n_ctx = model.config().n_ctx;
    data::require_window(data.tokens, n_ctx);
    const int64_t wanted =
        options.tokens > 0 ? options.tokens
                           : from_manifest<int64_t>(manifest, "eval", "tokens", kDefaultEvalTokens);
    const std::vector<int64_t> starts = data::eval_window_starts(data.tokens.size(), n_ctx, wanted);
    const std::string windows_sha256 = data::eval_windows_sha256(starts, n_ctx, data.sha256);
    const auto trained_on = from_manifest<std::string>(manifest, "eval", "sha256", "");
    const bool same = trained_on == windows_sha256;
    if (data.from_run && options.split == "val" && options.tokens == 0 && !same)
        log::warn("the windows differ from those of training: {} has changed since", data.path);

    const std::string precision = precision_of(model, options, manifest);
    require_eval_room(model, options,
                      {.batch = std::min(batch_of(options, manifest), std::ssize(starts)),
                       .length = n_ctx,
                       .bf16 = precision == "bfloat16"});
    const train::EvalResult result = train::evaluate_windows(
        model.gpt2(), data.tokens, starts, batch_of(options, manifest),
        precision == "bfloat16" ? config::Precision::kBfloat16 : config::Precision::kFloat32,
        [] { return stop_signal() != 0; });
    if (!result.complete) return {};
    const int64_t bytes = window_bytes(model, data.tokens, starts, n_ctx);
    const double nats = result.loss * static_cast<double>(result.tokens);
    const double bits = bytes > 0 ? nats / (std::numbers::ln2 * static_cast<double>(bytes)) : NAN;

    EvalReport report;
    report.summary = common_fields(model, options, data.path, data.sha256);
    report.summary.update({{"loss", result.loss},
                           {"standard_error", number_or_null(result.standard_error)},
                           {"perplexity", std::exp(result.loss)},
                           {"bits_per_byte", number_or_null(bits)},
                           {"tokens", result.tokens},
                           {"bytes", bytes},
                           {"windows", starts.size()},
                           {"n_ctx", n_ctx},
                           {"batches_sha256", windows_sha256},
                           {"windows_of_training", same},
                           {"precision", precision},
                           {"seconds", result.seconds}});
    report.full = report.summary;
    report.full["window_loss"] = result.window_loss;
    report.text = fmt::format(
        "loss {:.6f}{} nats per token, perplexity {:.4f}{}\n"
        "{} tokens in {} windows of {}: {}\n",
        result.loss, error_text(result.standard_error), std::exp(result.loss), bits_text(bits),
        result.tokens, starts.size(), n_ctx, data.path);
    return report;
}

EvalReport eval_perplexity(model::LoadedModel& model, const EvalOptions& options) {
    const EvalData data = open_eval_data(model, options.data, options.split);
    const int64_t stride =
        options.stride < 0 ? std::max<int64_t>(1, model.config().n_ctx / 2) : options.stride;
    const std::string precision = precision_of(model, options, data.run_manifest);
    const int64_t n_ctx = model.config().n_ctx;
    const int64_t windows =
        std::ssize(model::perplexity_windows(data.tokens.size(), n_ctx, stride));
    require_eval_room(model, options,
                      {.batch = std::min(batch_of(options, data.run_manifest), windows),
                       .length = n_ctx,
                       .bf16 = precision == "bfloat16"});
    const double started = steady_seconds();
    Progress progress;
    const model::Perplexity result = measure_perplexity(
        model.gpt2(), data.tokens, model.has_tokenizer() ? &model.tokenizer() : nullptr, stride,
        batch_of(options, data.run_manifest), precision == "bfloat16", std::ref(progress));
    EvalReport report;
    report.summary = common_fields(model, options, data.path, data.sha256);
    report.summary.update({{"mode", stride > 0 ? "stride" : "chunk"},
                           {"stride", stride},
                           {"perplexity", result.perplexity()},
                           {"loss", result.loss()},
                           {"standard_error", number_or_null(result.standard_error)},
                           {"bits_per_byte", number_or_null(result.bits_per_byte())},
                           {"tokens", result.tokens},
                           {"bytes", result.bytes},
                           {"windows", result.windows},
                           {"n_ctx", model.config().n_ctx},
                           {"precision", precision},
                           {"seconds", steady_seconds() - started}});
    report.full = report.summary;
    report.text = fmt::format(
        "perplexity {:.4f}, loss {:.6f}{} nats per token{}\n"
        "{} tokens scored in {} windows of {}, {}: {}\n",
        result.perplexity(), result.loss(), error_text(result.standard_error),
        bits_text(result.bits_per_byte()), result.tokens, result.windows, model.config().n_ctx,
        stride > 0 ? fmt::format("stride {}", stride) : "disjoint", data.path);
    return report;
}

void eval_logits(model::LoadedModel& model, const std::string& ids, const std::string& out) {
    const nlohmann::json list = read_json(ids);
    if (!list.is_array()) fail(kData, "{}: a JSON list of token ids is wanted", ids);
    std::vector<int64_t> tokens;
    for (const nlohmann::json& id : list) {
        if (!id.is_number_integer())
            fail(kData, "{}: item {} is not an integer: {}", ids, tokens.size(), id.dump());
        tokens.push_back(id.get<int64_t>());
    }
    const int64_t vocab_size = model.config().vocab_size;
    for (size_t i = 0; i < tokens.size(); ++i)
        if (tokens[i] < 0 || tokens[i] >= vocab_size)
            fail(kData, "{}: token {} at position {} is outside vocabulary {}", ids, tokens[i], i,
                 vocab_size);
    write_logits(model.gpt2(), tokens, out);
    log::info("logits [{}, {}] in {}", tokens.size(), model.config().vocab_size, out);
}

}  // namespace knlp::app
