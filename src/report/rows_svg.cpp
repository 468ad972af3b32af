#include "rows_svg.h"

#include "chart_scale.h"
#include "format.h"
#include "svg_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace knlp::report {
namespace {

constexpr double kRow = 50;     // pixels of a row: texts, then the line
constexpr double kLineAt = 32;  // of the row, where the line is
constexpr int kTicks = 5;

struct Frame {
    Range range;
    double across(double value) const { return 100 * position(value, range, Scale::kLinear); }
};

Frame frame_of(const RowChart& chart) {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    const auto add = [&](double value) {
        if (!std::isfinite(value)) return;
        low = std::min(low, value);
        high = std::max(high, value);
    };
    add(0);
    if (chart.band) add(-*chart.band), add(*chart.band);
    for (const MarkRow& row : chart.rows) {
        for (const double value : {row.value, row.low, row.high}) add(value);
        for (const double value : row.dots) add(value);
    }
    if (low == high) high = low + 1;
    const double margin = 0.03 * (high - low);  // so that no mark touches the edge
    return {{chart.bars ? 0 : low - margin, high + margin}};
}

double height_of(const RowChart& chart) {
    return kRow * static_cast<double>(std::max<size_t>(1, chart.rows.size()));
}

void draw_axis(std::string& out, const RowChart& chart, const Frame& frame) {
    auto to = std::back_inserter(out);
    const Ticks ticks = linear_ticks(frame.range.low, frame.range.high, kTicks);
    if (chart.band && *chart.band > 0)
        fmt::format_to(
            to,
            "<rect class=\"effect\" x=\"{:.2f}%\" width=\"{:.2f}%\" y=\"0\" height=\"100%\"/>\n",
            frame.across(-*chart.band), frame.across(*chart.band) - frame.across(-*chart.band));
    out += "<g class=\"grid\">";
    for (const double value : ticks.values)
        fmt::format_to(to, "<line x1=\"{0:.2f}%\" x2=\"{0:.2f}%\" y1=\"0\" y2=\"100%\"{1}/>",
                       frame.across(value), value == 0 ? " class=\"base\"" : "");
    out +=
        "<line x1=\"0\" x2=\"100%\" y1=\"100%\" y2=\"100%\" class=\"base\"/></g>\n<g "
        "class=\"ticks\">";
    for (size_t i = 0; i < ticks.values.size(); ++i)
        fmt::format_to(
            to, "<text x=\"{:.2f}%\" y=\"100%\" dy=\"19\" text-anchor=\"middle\"{}>{}</text>",
            frame.across(ticks.values[i]),
            ticks.values.size() > 5 && i % 2 == 1 ? " class=\"alternate\"" : "",
            escape(ticks.labels[i]));
    fmt::format_to(
        to,
        "</g>\n<g class=\"axis\"><text x=\"100%\" y=\"100%\" dy=\"38\" text-anchor=\"end\">{}"
        "</text></g>\n",
        escape(chart.axis));
}

void draw_row(std::string& out, const RowChart& chart, const Frame& frame, const MarkRow& row,
              double top) {
    auto to = std::back_inserter(out);
    fmt::format_to(to,
                   "<text class=\"label\" x=\"0\" y=\"{0:g}\">{1}</text>"
                   "<text class=\"figure\" x=\"100%\" y=\"{0:g}\" text-anchor=\"end\">{2}</text>\n",
                   top + 16, escape(row.label), escape(row.text));
    if (!std::isfinite(row.value)) return;
    const double y = top + kLineAt;
    if (chart.bars)
        fmt::format_to(to,
                       "<rect class=\"bar\" x=\"0\" width=\"{:.2f}%\" y=\"{:g}\" height=\"10\" "
                       "style=\"fill:var(--{})\"/>\n",
                       frame.across(row.value), y - 5, row.colour);
    if (std::isfinite(row.low) && std::isfinite(row.high))
        fmt::format_to(
            to,
            "<line class=\"whisker\" x1=\"{:.2f}%\" x2=\"{:.2f}%\" y1=\"{:g}\" y2=\"{:g}\" "
            "style=\"stroke:var(--{})\"/>\n",
            frame.across(row.low), frame.across(row.high), y, y, row.colour);
    for (const double value : row.dots)
        fmt::format_to(
            to,
            "<circle class=\"one\" cx=\"{:.2f}%\" cy=\"{:g}\" r=\"3\" style=\"fill:var(--{})\">"
            "<title>{}</title></circle>",
            frame.across(value), y + 10, chart.bars ? "text" : row.colour, significant(value, 5));
    if (!chart.bars)
        fmt::format_to(to,
                       "<circle cx=\"{:.2f}%\" cy=\"{:g}\" r=\"5\" style=\"fill:var(--{})\"/>\n",
                       frame.across(row.value), y, row.colour);
}

std::string spoken(const RowChart& chart) {
    std::string text = fmt::format("{}, {}", chart.title, chart.axis);
    for (const MarkRow& row : chart.rows) text += fmt::format("; {}: {}", row.label, row.text);
    return text;
}

std::string drawing_of(const RowChart& chart) {
    const Frame frame = frame_of(chart);
    std::string out;
    draw_axis(out, chart, frame);
    double top = 0;
    for (const MarkRow& row : chart.rows) {
        draw_row(out, chart, frame, row, top);
        top += kRow;
    }
    if (chart.rows.empty())
        out +=
            "<text class=\"nothing\" x=\"50%\" y=\"50%\" text-anchor=\"middle\">no values "
            "recorded</text>\n";
    if (!chart.watermark.empty())
        out += fmt::format(
            "<text class=\"watermark\" x=\"50%\" y=\"100%\" dy=\"-4\" "
            "text-anchor=\"middle\">{}</text>\n",
            escape(chart.watermark));
    return out;
}

}  // namespace

std::string rows_html(const RowChart& chart) {
    std::string out =
        fmt::format("<figure class=\"chart rows\"><figcaption><h3>{}</h3>", escape(chart.title));
    if (!chart.note.empty()) out += fmt::format("<p class=\"note\">{}</p>", escape(chart.note));
    return out + fmt::format(
                     "</figcaption>\n<div class=\"plot\" style=\"height:{:.0f}px\">"
                     "<svg role=\"img\" aria-label=\"{}\" width=\"100%\" height=\"100%\">\n{}"
                     "</svg></div></figure>\n",
                     height_of(chart), escape(spoken(chart)), drawing_of(chart));
}

std::string rows_document(const RowChart& chart) {
    return svg_document({.title = chart.title,
                         .note = chart.note,
                         .spoken = spoken(chart),
                         .keys = {},
                         .left = 20,
                         .height = static_cast<int64_t>(height_of(chart))},
                        drawing_of(chart));
}

std::string rows_css() {
    return ".rows .plot{margin-left:.2rem;margin-right:.2rem;margin-top:.6rem}\n"
           ".plot .label,.plot .figure{paint-order:stroke;stroke:var(--panel);stroke-width:4px;"
           "stroke-linejoin:round}\n"
           ".plot .label{fill:var(--text);font-weight:600}\n"
           ".plot .figure{fill:var(--text)}\n"
           ".plot .effect{fill:var(--good-soft)}\n"
           ".plot .whisker{stroke-width:2.5px}\n"
           ".plot .bar{opacity:.55}\n"
           ".plot circle.one{opacity:.75;stroke:none}\n";
}

}  // namespace knlp::report
