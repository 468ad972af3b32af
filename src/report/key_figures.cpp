#include "key_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>

#include "knlp/core/stats.h"

namespace knlp::report {
namespace {

bool is_yes(const RunData& run, std::initializer_list<const char*> pointers) {
    return run.text(pointers) == "yes";
}

/// `text` as one word of a shell command.
std::string quoted(const std::string& text) {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("_-+=./,:@%").find(c) != std::string_view::npos;
    };
    if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return text;
    std::string out = "'";
    for (char c : text) c == '\'' ? out += "'\\''" : out += c;
    return out + "'";
}

void fill_losses(KeyFigures& key, const RunData& run) {
    for (const EvalPoint& eval : run.evals) {
        if (!std::isfinite(eval.val_loss)) continue;
        key.val_loss = eval.val_loss;
        key.val_se = eval.val_se;
        key.val_step = eval.step;
        if (!(eval.val_loss >= key.best_loss)) {      // true as well while best_loss is NaN
            key.best_loss = eval.val_loss;
            key.best_step = eval.step;
        }
    }
    if (!std::isfinite(key.val_loss)) {
        key.val_loss = run.number({"/final_val_loss", "/val_loss"});
        key.val_se = run.number({"/final_val_se", "/val_se"});
        key.best_loss = run.number({"/best_val_loss"});
    }
    if (!run.train.empty()) key.train_loss = run.train.back().loss;
    if (std::isfinite(key.val_loss)) key.perplexity = std::exp(std::min(key.val_loss, 20.0));
}

double median_speed(const RunData& run) {
    std::vector<double> speeds;
    for (const TrainPoint& point : run.train)
        if (std::isfinite(point.tokens_per_s)) speeds.push_back(point.tokens_per_s);
    return speeds.empty() ? run.number({"/tokens_per_s"}) : median(speeds);
}

}  // namespace

KeyFigures key_figures(const RunData& run) {
    KeyFigures key;
    key.state = run.status.is_object() && run.status.contains("state") && run.status["state"].is_string()
                    ? run.status["state"].get<std::string>()
                    : run.text({"/state"});
    if (key.state.empty()) key.state = "unknown";
    key.exit = run.text({"/exit"});
    fill_losses(key, run);
    const bool bytes = run.text({"/tokenizer/kind"}) == "byte";
    key.loss_unit = bytes ? "nats/byte" : "nats/token";
    key.bits_per_byte = run.number({"/final_bits_per_byte", "/bits_per_byte"});
    // A byte is a token here, so the conversion needs nothing else.
    if (!std::isfinite(key.bits_per_byte) && bytes) key.bits_per_byte = key.val_loss / std::numbers::ln2;
    if (!run.train.empty()) {
        key.steps = run.train.back().step + 1;
        key.tokens = run.train.back().tokens;
    }
    if (!run.evals.empty() && run.evals.back().step >= key.steps) {
        key.steps = run.evals.back().step;
        if (std::isfinite(run.evals.back().tokens)) key.tokens = run.evals.back().tokens;
    }
    if (run.saved.step > key.steps) {          // it was stopped between two lines of the log
        key.steps = run.saved.step;
        key.tokens = static_cast<double>(run.saved.tokens);
    }
    if (const double steps = run.number({"/steps"}); steps > 0) key.steps = static_cast<int64_t>(steps);
    if (const double tokens = run.number({"/tokens"}); tokens > 0) key.tokens = tokens;
    key.wall_s = run.number({"/total_time", "/wall_s"});
    // An interrupted run has no total: how far its last event got is known.
    if (!std::isfinite(key.wall_s) && !run.train.empty()) key.wall_s = run.train.back().elapsed_s;
    key.parameters = run.number({"/parameters/total", "/parameters", "/params"});
    key.peak_rss_bytes = run.number({"/peak_rss_bytes"});
    for (const TrainPoint& point : run.train)
        if (!(point.rss_bytes <= key.peak_rss_bytes) && std::isfinite(point.rss_bytes))
            key.peak_rss_bytes = point.rss_bytes;
    key.tokens_per_s = median_speed(run);
    return key;
}

std::vector<std::string> caveats(const RunData& run) {
    std::vector<std::string> out;
    if (const std::string why = run.text({"/data/substitute"}); !why.empty())
        out.push_back(fmt::format("Substitute data: {}", why));
    if (is_yes(run, {"/data/synthetic"}))
        out.emplace_back("Synthetic data: the text was generated, its losses say nothing about language.");
    if (is_yes(run, {"/git_dirty"}))
        out.emplace_back("The source tree had uncommitted changes: the revision alone does not repeat this run.");
    return out;
}

std::string failure(const RunData& run) {
    if (key_figures(run).state != "failed") return "";
    const std::string reason = run.text({"/reason"});
    return reason.empty() ? "the reason was not recorded" : reason;
}

std::string watermark(const RunData& run) {
    if (is_yes(run, {"/data/synthetic"})) return "SYNTHETIC DATA";
    return run.text({"/data/substitute"}).empty() ? "" : "SUBSTITUTE DATA";
}

std::string subject_line(const RunData& run) {
    std::string out;
    const auto add = [&](const std::string& part) {
        if (!part.empty()) out += (out.empty() ? "" : " · ") + part;
    };
    add(run.text({"/model"}));
    add(run.text({"/optimizer"}));
    add(run.text({"/data/name", "/data/wanted"}));
    if (const std::string kind = run.text({"/tokenizer/kind"}); !kind.empty()) add(kind + " tokenizer");
    if (const std::string preset = run.text({"/preset"}); !preset.empty()) add("preset " + preset);
    return out;
}

std::vector<Command> commands_of(const RunData& run) {
    const std::string dir = quoted(run.display_path);
    std::vector<Command> out;
    const std::string revision = run.text({"/git_commit"});
    if (!revision.empty()) out.push_back({"the same source", "git checkout " + quoted(revision)});
    out.push_back({"the same run again", fmt::format("make build && ./knlp train --config {}/config", dir)});
    const std::string preset = run.text({"/preset"});
    if (!preset.empty()) {
        // Overrides of the first run, so that the preset leads to the same configuration.
        std::string set;
        for (const Setting& s : run.settings)
            if (s.origin == "make" || s.origin == "cli" || s.origin == "flag" || s.origin == "env")
                set += fmt::format(" {}={}", s.name, s.value);
        out.push_back({"the same from its preset",
                       fmt::format("make defconfig-{} && make{}", quoted(preset),
                                   set.empty() ? "" : " SET=" + quoted(set.substr(1)))});
    }
    const std::string state = key_figures(run).state;
    if (state == "preempted" || state == "failed" || state == "running")
        out.push_back({"go on with it", "./knlp train --resume " + dir});
    out.push_back({"write text with it", fmt::format("./knlp generate --model {} --prompt 'The kernel'", dir)});
    out.push_back({"measure its loss again", fmt::format("./knlp eval --model {} --task loss", dir)});
    out.push_back({"this page again", "./knlp report " + dir});
    return out;
}

}  // namespace knlp::report
