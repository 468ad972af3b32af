#include "matrix_graphs.h"

#include "format.h"
#include "matrix_words.h"
#include "palette.h"
#include "text_table.h"

#include "knlp/core/text.h"
#include "knlp/core/json.h"
#include "knlp/core/stats.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace knlp::report {
namespace {

/// Before this share of the training a curve falls so far that arms cannot be told apart.
constexpr double kShownFrom = 0.1;

struct Style {
    std::string colour, dash;
};

/// Four colours, then the same with other lines. An arm has the style of its place in the plan.
Style style_of(size_t i) {
    constexpr const char* kDashes[] = {"", "7 4", "2 3"};
    const auto colours = series_colours();
    return {std::string(colours[i % colours.size()]), kDashes[i / colours.size() % 3]};
}

size_t place_of(const MatrixData& data, const std::string& arm) {
    for (size_t i = 0; i < data.plan.arms.size(); ++i)
        if (data.plan.arms[i].id == arm) return i;
    return 0;
}

std::vector<const ArmData*> shown_arms(const MatrixData& data) {
    std::vector<const ArmData*> out;
    for (const ArmData& arm : data.arms) {
        const bool room = out.size() < kMaxCurves;
        if (room) out.push_back(&arm);
        if (!room && arm.baseline) out.back() = &arm;
    }
    return out;
}

std::string note_of_curves(const MatrixData& data, const std::string& first) {
    std::string note = first;
    if (data.arms.size() > kMaxCurves)
        note += fmt::format(" The best {} of {} arms by mean; the CSV has all.", kMaxCurves,
                            data.arms.size());
    return note;
}

/// Loss with bands over whatever `x` takes from a point.
Chart loss_chart(const MatrixData& data, double CurvePoint::*x, double unit) {
    Chart chart;
    chart.watermark = data.watermark;
    chart.y.label = fmt::format("validation loss, {}", data.loss_unit);
    chart.height = 320;
    bool band = false, cut = false;
    for (const ArmData* arm : shown_arms(data)) {
        if (arm->curve.empty()) continue;
        const Style style = style_of(place_of(data, arm->id));
        Series series{.label = arm->label,
                      .colour = style.colour,
                      .points = {},
                      .half_width = {},
                      .markers = true,
                      .width = 2,
                      .dash = style.dash};
        const double end = arm->curve.back().tokens;
        for (const CurvePoint& p : arm->curve) {
            if (arm->curve.size() > 4 && p.tokens < kShownFrom * end) {
                cut = true;
                continue;
            }
            series.points.push_back({p.*x / unit, p.mean});
            series.half_width.push_back(std::isfinite(p.sd) ? p.sd : 0);
            band = band || p.sd > 0;
        }
        chart.series.push_back(std::move(series));
    }
    chart.note = note_of_curves(
        data, std::string("Mean over the finished seeds") +
                  (band ? "; band: one standard deviation between seeds, to each side." : ".") +
                  (cut ? " The first tenth is left out." : ""));
    return chart;
}

double largest(const MatrixData& data, double CurvePoint::*x) {
    double out = 0;
    for (const ArmData& arm : data.arms)
        for (const CurvePoint& p : arm.curve)
            if (std::isfinite(p.*x)) out = std::max(out, p.*x);
    return out;
}

std::string number(double value) {
    return std::isfinite(value) ? canonical_json(nlohmann::json(value)) : "";
}

/// Rows of costs: one arm each, its mean as a bar, its seeds as dots.
RowChart cost_chart(const MatrixData& data, std::vector<double> ArmData::*values, double unit,
                    std::string (*text)(double)) {
    RowChart chart{.title = "",
                   .note = "Bar: mean over the finished cells; dots: the cells.",
                   .axis = "",
                   .watermark = data.watermark,
                   .rows = {},
                   .bars = true};
    for (const ArmData& arm : data.arms) {
        const std::vector<double>& all = arm.*values;
        MarkRow row{.label = arm.label + (arm.baseline ? " (baseline)" : ""),
                    .text = all.empty() ? "–" : text(mean(all)),
                    .colour = style_of(place_of(data, arm.id)).colour,
                    .value = all.empty() ? std::nan("") : mean(all) / unit,
                    .low = std::nan(""),
                    .high = std::nan(""),
                    .dots = {}};
        for (const double value : all) row.dots.push_back(value / unit);
        chart.rows.push_back(std::move(row));
    }
    return chart;
}

std::string cost_csv(const MatrixData& data, const char* name,
                     std::vector<double> ArmData::*values) {
    TextTable table{
        .head = {"arm", "cells", std::string("mean_") + name, std::string("sd_") + name},
        .rows = {}};
    for (const ArmData& arm : data.arms) {
        const std::vector<double>& all = arm.*values;
        table.rows.push_back({arm.id, std::to_string(all.size()),
                              all.empty() ? "" : number(mean(all)), number(stddev(all))});
    }
    return csv_table(table);
}

std::string curves_csv(const MatrixData& data) {
    TextTable table{
        .head = {"arm", "step", "tokens", "elapsed_s", "seeds", "mean", "sd", "low", "high"},
        .rows = {}};
    for (const ArmData& arm : data.arms)
        for (const CurvePoint& p : arm.curve)
            table.rows.push_back({arm.id, std::to_string(p.step), number(p.tokens),
                                  number(p.elapsed_s), std::to_string(p.n), number(p.mean),
                                  number(p.sd), number(p.low), number(p.high)});
    return csv_table(table);
}

std::string rates_csv(const MatrixData& data) {
    TextTable table{.head = {"arm", "tokens", "learning_rate"}, .rows = {}};
    for (const ArmData& arm : data.arms)
        for (const Point& p : arm.learning_rate)
            table.rows.push_back({arm.id, number(p.x), number(p.y)});
    return csv_table(table);
}

std::string forest_csv(const MatrixData& data) {
    TextTable table{.head = {"arm", "n", "mean", "low", "high", "low90", "high90", "differences"},
                    .rows = {}};
    for (const ArmData& arm : data.arms) {
        if (arm.baseline) continue;
        const matrix::Contrast& c = arm.contrast;
        std::string differences;
        for (const double d : c.differences)
            differences += (differences.empty() ? "" : " ") + number(d);
        table.rows.push_back({arm.id, std::to_string(c.differences.size()), number(c.mean),
                              number(c.interval.low), number(c.interval.high),
                              number(c.interval90.low), number(c.interval90.high), differences});
    }
    return csv_table(table);
}

}  // namespace

Chart loss_over_tokens(const MatrixData& data) {
    const double unit = largest(data, &CurvePoint::tokens) >= 2e6 ? 1e6 : 1;
    Chart chart = loss_chart(data, &CurvePoint::tokens, unit);
    chart.title = "Validation loss over tokens";
    chart.x = {.label = unit > 1 ? "tokens, millions" : "tokens",
               .from_zero = true,
               .low = {},
               .high = {}};
    return chart;
}

Chart loss_over_time(const MatrixData& data) {
    const double unit = largest(data, &CurvePoint::elapsed_s) >= 7200 ? 3600 : 1;
    Chart chart = loss_chart(data, &CurvePoint::elapsed_s, unit);
    chart.title = "Validation loss over time";
    chart.x = {.label = unit > 1 ? "wall time of a cell, hours" : "wall time of a cell, seconds",
               .from_zero = true,
               .low = {},
               .high = {}};
    chart.note += " At the mean time of the seeds, after as many steps.";
    return chart;
}

Chart learning_rates(const MatrixData& data) {
    Chart chart{.title = "Learning rate",
                .note = note_of_curves(data, "Of the first finished seed of each arm."),
                .watermark = data.watermark,
                .x = {.label = "tokens", .from_zero = true, .low = {}, .high = {}},
                .y = {.label = "learning rate (no unit)", .from_zero = true, .low = {}, .high = {}},
                .series = {}};
    for (const ArmData* arm : shown_arms(data)) {
        if (arm->learning_rate.empty()) continue;
        const Style style = style_of(place_of(data, arm->id));
        chart.series.push_back({.label = arm->label,
                                .colour = style.colour,
                                .points = arm->learning_rate,
                                .half_width = {},
                                .width = 2,
                                .dash = style.dash});
    }
    return chart;
}

RowChart forest_plot(const MatrixData& data) {
    RowChart chart{.title = "Paired differences from the baseline",
                   .note = fmt::format(
                       "Large dot: mean difference, left of zero is better; line: {:g} % interval; "
                       "small dots: the seeds.{}",
                       100 * (1 - data.plan.alpha),
                       data.plan.min_effect > 0
                           ? fmt::format(" Band: ±{:g}, the smallest difference that matters.",
                                         data.plan.min_effect)
                           : ""),
                   .axis = fmt::format("arm − baseline, {}", data.loss_unit),
                   .watermark = data.watermark,
                   .rows = {}};
    if (data.plan.min_effect > 0) chart.band = data.plan.min_effect;
    for (const ArmData& arm : data.arms) {
        if (arm.baseline) continue;
        const ArmWords words = words_of(arm, data);
        chart.rows.push_back(
            {.label = arm.label,
             .text = arm.contrast.differences.empty() ? words.verdict : words.difference,
             .colour = style_of(place_of(data, arm.id)).colour,
             .value = arm.contrast.mean,
             .low = arm.contrast.interval.low,
             .high = arm.contrast.interval.high,
             .dots = arm.contrast.differences});
    }
    return chart;
}

RowChart memory_chart(const MatrixData& data) {
    RowChart chart = cost_chart(data, &ArmData::peak_bytes, double{1 << 20}, bytes_text);
    chart.title = data.gpu() ? "Peak memory of the GPU" : "Peak memory, resident";
    chart.axis = "MiB";
    return chart;
}

RowChart time_chart(const MatrixData& data) {
    RowChart chart = cost_chart(data, &ArmData::wall_s, 1, duration_text);
    chart.title = "Time of a cell";
    chart.axis = "wall time, seconds";
    return chart;
}

std::map<std::string, std::string> graph_files(const MatrixData& data) {
    return {{"graphs/loss_tokens.svg", chart_document(loss_over_tokens(data))},
            {"graphs/loss_tokens.csv", curves_csv(data)},
            {"graphs/loss_time.svg", chart_document(loss_over_time(data))},
            {"graphs/loss_time.csv", curves_csv(data)},
            {"graphs/learning_rate.svg", chart_document(learning_rates(data))},
            {"graphs/learning_rate.csv", rates_csv(data)},
            {"graphs/forest.svg", rows_document(forest_plot(data))},
            {"graphs/forest.csv", forest_csv(data)},
            {"graphs/memory.svg", rows_document(memory_chart(data))},
            {"graphs/memory.csv", cost_csv(data, "peak_bytes", &ArmData::peak_bytes)},
            {"graphs/time.svg", rows_document(time_chart(data))},
            {"graphs/time.csv", cost_csv(data, "wall_s", &ArmData::wall_s)}};
}

}  // namespace knlp::report
