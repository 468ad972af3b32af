#include "text_report.h"

#include <fmt/format.h>

#include <cmath>

#include "format.h"
#include "key_figures.h"

#include "knlp/core/text.h"

namespace knlp::report {

std::string text_of_run(const RunData& run) {
    const KeyFigures key = key_figures(run);
    std::string out;
    const auto row = [&](const char* name, const std::string& value) {
        if (!value.empty()) out += fmt::format("{:<12}{}\n", name, valid_text(value));
    };
    row("run", run.run_id);
    row("state", key.exit.empty() ? key.state : fmt::format("{} ({})", key.state, key.exit));
    row("what", subject_line(run));
    if (std::isfinite(key.parameters))
        row("parameters", grouped(static_cast<int64_t>(key.parameters)));
    if (std::isfinite(key.val_loss)) {
        row("val loss",
            fmt::format("{}{} {} at step {}", significant(key.val_loss, 5),
                        std::isfinite(key.val_se) ? " ± " + significant(key.val_se, 2) : "",
                        key.loss_unit, grouped(key.val_step)));
        if (std::isfinite(key.best_loss))
            row("best", fmt::format("{} at step {}", significant(key.best_loss, 5),
                                    grouped(key.best_step)));
        row("perplexity", significant(key.perplexity, 4));
    } else if (!run.train.empty()) {
        row("train loss", fmt::format("{} {} at step {}", significant(key.train_loss, 5),
                                      key.loss_unit, grouped(run.train.back().step)));
    }
    if (std::isfinite(key.bits_per_byte)) row("bits/byte", significant(key.bits_per_byte, 4));
    row("steps", grouped(key.steps));
    if (std::isfinite(key.tokens)) row("tokens", grouped(static_cast<int64_t>(key.tokens)));
    if (std::isfinite(key.wall_s)) row("time", duration_text(key.wall_s));
    if (std::isfinite(key.tokens_per_s)) row("speed", compact(key.tokens_per_s) + " tokens/s");
    if (std::isfinite(key.peak_rss_bytes)) row("memory", bytes_text(key.peak_rss_bytes) + " peak");
    row("failed", failure(run));
    for (const std::string& text : caveats(run)) row("note", text);
    for (const std::string& text : run.problems) row("problem", text);
    return out;
}

}  // namespace knlp::report
