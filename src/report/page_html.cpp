#include "page_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "chart_svg.h"
#include "flame.h"
#include "format.h"
#include "key_figures.h"
#include "page_parts.h"
#include "palette.h"

#include "knlp/core/text.h"

namespace knlp::report {
namespace {

std::string card(const std::string& name, const std::string& value, const std::string& unit) {
    return fmt::format(
        "<div><dt>{}</dt><dd class=\"value\">{}</dd><dd class=\"unit\">{}</dd></div>\n",
        escape(name), escape(value), escape(unit));
}

/// Value as text, a dash where it was not recorded.
template <class Format>
std::string or_dash(double value, Format format) {
    return std::isfinite(value) ? format(value) : "–";
}

std::string key_cards(const KeyFigures& key) {
    const auto digits = [](int n) { return [n](double v) { return significant(v, n); }; };
    const bool has_error = std::isfinite(key.val_se);
    std::string out = "<dl class=\"figures\">\n";
    out += card(
        "Validation loss", or_dash(key.val_loss, digits(4)),
        std::isfinite(key.val_loss)
            ? fmt::format("{}{}, step {}", has_error ? "± " + significant(key.val_se, 2) + " " : "",
                          key.loss_unit, grouped(key.val_step))
            : "no evaluation recorded");
    out += card("Best validation loss", or_dash(key.best_loss, digits(4)),
                std::isfinite(key.best_loss)
                    ? fmt::format("{}, step {}", key.loss_unit, grouped(key.best_step))
                    : "no evaluation recorded");
    if (std::isfinite(key.bits_per_byte))
        out += card("Bits per byte", significant(key.bits_per_byte, 4),
                    fmt::format("perplexity {}", or_dash(key.perplexity, digits(4))));
    else
        out += card("Perplexity", or_dash(key.perplexity, digits(4)), "exp(validation loss)");
    out += card("Tokens", or_dash(key.tokens, compact),
                fmt::format("in {} steps", grouped(key.steps)));
    out += card("Time", or_dash(key.wall_s, duration_text), "wall clock, all attempts");
    out += card("Speed", or_dash(key.tokens_per_s, compact), "tokens/s, median");
    out += card("Parameters", or_dash(key.parameters, compact),
                std::isfinite(key.parameters) ? grouped(static_cast<int64_t>(key.parameters))
                                              : "not recorded");
    out += card("Peak memory", or_dash(key.peak_rss_bytes, bytes_text), "resident, host");
    return out + "</dl>\n";
}

/// The same axis under every chart, so that they can be compared by eye.
Axis step_axis(const RunData& run) {
    double last = 0;
    for (const TrainPoint& p : run.train) last = std::max(last, static_cast<double>(p.step));
    for (const EvalPoint& p : run.evals) last = std::max(last, static_cast<double>(p.step));
    Axis axis{.label = "step", .from_zero = true, .whole = true};
    if (last > 0) axis.high = last;
    return axis;
}

Chart loss_chart(const RunData& run, const KeyFigures& key) {
    Chart chart{.title = "Loss",
                .note = "",
                .watermark = watermark(run),
                .x = step_axis(run),
                .y = {.label = fmt::format("cross-entropy, {}", key.loss_unit)},
                .series = {},
                .height = 340};
    Series train{.label = "training batches",
                 .colour = "series-1",
                 .points = {},
                 .half_width = {},
                 .width = 1.5,
                 .opacity = 0.85};
    for (const TrainPoint& p : run.train)
        train.points.push_back({static_cast<double>(p.step), p.loss});
    Series val{.label = "validation windows",
               .colour = "series-2",
               .points = {},
               .half_width = {},
               .markers = true,
               .width = 2};
    for (const EvalPoint& p : run.evals) {
        val.points.push_back({static_cast<double>(p.step), p.val_loss});
        val.half_width.push_back(std::isfinite(p.val_se) ? p.val_se : 0);
    }
    if (std::any_of(val.half_width.begin(), val.half_width.end(), [](double h) { return h > 0; }))
        chart.note =
            "Band: one standard error of the validation loss over its windows, to each side.";
    if (!train.points.empty() || val.points.empty()) chart.series.push_back(std::move(train));
    if (!val.points.empty()) chart.series.push_back(std::move(val));
    return chart;
}

/// A small chart of one field of the train events in units of `unit`; "" when no event has it.
std::string field_section(const RunData& run, const char* title, const char* label,
                          const char* colour, double TrainPoint::*field, double unit) {
    Series series{.label = title, .colour = colour, .points = {}, .half_width = {}};
    for (const TrainPoint& p : run.train)
        if (!std::isnan(p.*field))
            series.points.push_back({static_cast<double>(p.step), p.*field / unit});
    if (series.points.empty()) return "";
    Chart chart{.title = title,
                .note = "",
                .watermark = watermark(run),
                .x = step_axis(run),
                .y = {.label = label, .from_zero = true},
                .series = {std::move(series)},
                .height = 190,
                .x_ticks = 4};
    return "<section>" + chart_html(chart) + "</section>\n";
}

std::string charts(const RunData& run, const KeyFigures& key) {
    const bool large = key.peak_rss_bytes >= 2.0 * (1 << 30);
    return "<section>" + chart_html(loss_chart(run, key)) + "</section>\n<div class=\"charts\">" +
           field_section(run, "Learning rate", "learning rate (no unit)", "series-3",
                         &TrainPoint::lr, 1) +
           field_section(run, "Speed", "tokens/s", "series-4", &TrainPoint::tokens_per_s, 1) +
           field_section(run, "Memory", large ? "resident, GiB" : "resident, MiB", "series-1",
                         &TrainPoint::rss_bytes, large ? double{1 << 30} : double{1 << 20}) +
           "</div>\n";
}

std::string state_badge(const KeyFigures& key) {
    std::string_view kind = "warn", text = key.state;
    if (key.state == "done") kind = "good";
    if (key.state == "failed") kind = "bad";
    if (key.state == "preempted") text = "stopped early, resumable";
    return fmt::format("<span class=\"state state-{}\">{}</span>", kind, escape(text));
}

std::string banners(const RunData& run) {
    std::string out;
    if (const std::vector<std::string> notes = caveats(run); !notes.empty()) {
        out += "<div class=\"banner\" role=\"note\">";
        for (const std::string& note : notes) {
            const size_t colon = note.find(':');
            const size_t bold = colon == std::string::npos ? 0 : colon + 1;
            out += fmt::format("<p><strong>{}</strong>{}</p>", escape(note.substr(0, bold)),
                               escape(note.substr(bold)));
        }
        out += "</div>\n";
    }
    const std::string why = failure(run);
    if (!run.problems.empty() || !why.empty()) {
        out += "<div class=\"banner problem\" role=\"note\">";
        if (!why.empty()) out += fmt::format("<p><b>Failed:</b> {}</p>", escape(why));
        for (const std::string& problem : run.problems)
            out += fmt::format("<p>{}</p>", escape(problem));
        out += "</div>\n";
    }
    return out;
}

}  // namespace

std::string page_html(const RunData& run) {
    const KeyFigures key = key_figures(run);
    std::string out =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n";
    out += fmt::format(
        "<title>{} – knlp run</title>\n<style>\n{}{}{}</style>\n</head>\n<body>\n<main>\n",
        escape(run.run_id), palette_css(), page_css(),
        chart_css() + (run.breakdown.is_null() ? "" : flame_css()));
    out += fmt::format(
        "<header>\n<p class=\"kicker\">knlp run report</p>\n<h1>{}</h1>\n"
        "<p class=\"subject\">{}{}</p>\n</header>\n",
        escape(run.run_id), state_badge(key), escape(subject_line(run)));
    out += banners(run);
    out += key_cards(key);
    out += charts(run, key);
    if (!run.breakdown.is_null()) out += flame_html(run.breakdown);
    out += sample_section(run);
    out += commands_section(run);
    out += provenance_section(run);
    out += configuration_section(run);
    out +=
        "<footer>Made by knlp report from the files of the run directory; metrics.jsonl is the "
        "source of "
        "every curve.</footer>\n</main>\n</body>\n</html>\n";
    return out;
}

}  // namespace knlp::report
