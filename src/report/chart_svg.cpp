#include "chart_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "format.h"
#include "svg_document.h"

namespace knlp::report {
namespace {

constexpr int kTicksY = 5;
constexpr double kCanvas = 1000;  // the curves' own coordinates, stretched to the plot area
constexpr size_t kMaxMarkers = 120, kMaxCrosses = 60;

/// Everything the parts of one drawing share.
struct Frame {
    Range x, y;
    Scale x_scale, y_scale;

    double across(double value) const { return position(value, x, x_scale); }
    double down(double value) const { return 1 - position(value, y, y_scale); }
    bool shows(const Point& p) const {
        return std::isfinite(p.x) && std::isfinite(p.y) && (x_scale != Scale::kLog || p.x > 0) &&
               (y_scale != Scale::kLog || p.y > 0);
    }
};

struct Extent {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    void add(double value) {
        low = std::min(low, value);
        high = std::max(high, value);
    }
    bool empty() const { return low > high; }
};

Frame frame_of(const Chart& chart) {
    Frame frame{{}, {}, chart.x.scale, chart.y.scale};
    Extent x, y;
    for (const Series& series : chart.series)
        for (size_t i = 0; i < series.points.size(); ++i) {
            const Point& p = series.points[i];
            if (std::isfinite(p.x) && (frame.x_scale != Scale::kLog || p.x > 0)) x.add(p.x);
            if (!frame.shows(p)) continue;
            y.add(p.y);
            const double half = series.half_width.empty() ? 0 : series.half_width[i];
            if (half > 0 && std::isfinite(half)) {
                y.add(p.y + half);
                if (frame.y_scale == Scale::kLinear || p.y > half) y.add(p.y - half);
            }
        }
    const double start = frame.x_scale == Scale::kLog ? 1 : 0;
    if (x.empty()) x = {start, 10};
    if (y.empty()) y = {frame.y_scale == Scale::kLog ? 1.0 : 0.0, 10};
    frame.y = nice_range(y.low, y.high, chart.y.scale, chart.y.from_zero, kTicksY);
    // Along x the data fills the width: only an empty range is widened.
    frame.x = {chart.x.from_zero ? std::min(0.0, x.low) : x.low, x.high};
    if (frame.x.low == frame.x.high)
        frame.x = nice_range(x.low, x.high, chart.x.scale, chart.x.from_zero, chart.x_ticks);
    if (chart.x.low) frame.x.low = *chart.x.low;
    if (chart.x.high) frame.x.high = *chart.x.high;
    if (chart.y.low) frame.y.low = *chart.y.low;
    if (chart.y.high) frame.y.high = *chart.y.high;
    return frame;
}

Ticks ticks_of(const Range& range, const Axis& axis, int wanted) {
    return axis.scale == Scale::kLog ? log_ticks(range.low, range.high, wanted)
                                     : linear_ticks(range.low, range.high, wanted, axis.whole);
}

void draw_axes(std::string& out, const Chart& chart, const Frame& frame) {
    auto to = std::back_inserter(out);
    const Ticks y = ticks_of(frame.y, chart.y, kTicksY);
    const Ticks x = ticks_of(frame.x, chart.x, chart.x_ticks);
    out += "<g class=\"grid\">";
    for (double value : y.values)
        fmt::format_to(to, "<line x1=\"0\" x2=\"100%\" y1=\"{0:.2f}%\" y2=\"{0:.2f}%\"/>",
                       100 * frame.down(value));
    for (double value : x.values)
        fmt::format_to(
            to, "<line x1=\"{0:.2f}%\" x2=\"{0:.2f}%\" y1=\"100%\" y2=\"100%\" class=\"tick\"/>",
            100 * frame.across(value));
    out +=
        "<line x1=\"0\" x2=\"100%\" y1=\"100%\" y2=\"100%\" class=\"base\"/></g>\n<g "
        "class=\"ticks\">";
    for (size_t i = 0; i < y.values.size(); ++i)
        fmt::format_to(
            to, "<text x=\"0\" dx=\"-9\" y=\"{:.2f}%\" dy=\"4\" text-anchor=\"end\">{}</text>",
            100 * frame.down(y.values[i]), escape(y.labels[i]));
    for (size_t i = 0; i < x.values.size(); ++i) {
        // Every second label goes on a narrow screen.
        const bool alternate = x.values.size() > 5 && i % 2 == 1;
        fmt::format_to(
            to, "<text x=\"{:.2f}%\" y=\"100%\" dy=\"19\" text-anchor=\"middle\"{}>{}</text>",
            100 * frame.across(x.values[i]), alternate ? " class=\"alternate\"" : "",
            escape(x.labels[i]));
    }
    fmt::format_to(to,
                   "</g>\n<g class=\"axis\"><text x=\"0\" dx=\"-50\" y=\"0\" dy=\"-14\">{}</text>"
                   "<text x=\"100%\" y=\"100%\" dy=\"38\" text-anchor=\"end\">{}</text></g>\n",
                   escape(chart.y.label), escape(chart.x.label));
}

/// "M0.0 12.5L4.0 13.0…", one M a stretch without gaps.
std::string path_of(const Series& series, const std::vector<size_t>& kept, const Frame& frame) {
    std::string path;
    bool drawing = false;
    for (size_t k = 0; k < kept.size(); ++k) {
        const Point& p = series.points[kept[k]];
        if (!frame.shows(p)) {
            drawing = false;
            continue;
        }
        fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f}", drawing ? 'L' : 'M',
                       kCanvas * frame.across(p.x), kCanvas * frame.down(p.y));
        drawing = true;
    }
    return path;
}

std::string band_of(const Series& series, const std::vector<size_t>& kept, const Frame& frame) {
    std::string upper, lower;
    for (size_t k : kept) {
        const Point& p = series.points[k];
        const double half = series.half_width[k];
        if (!frame.shows(p) || !(half > 0) || !std::isfinite(half)) continue;
        const double x = kCanvas * frame.across(p.x);
        const double bottom =
            frame.y_scale == Scale::kLog ? std::max(p.y - half, frame.y.low) : p.y - half;
        upper += fmt::format("{}{:.1f} {:.2f}", upper.empty() ? 'M' : 'L', x,
                             kCanvas * frame.down(p.y + half));
        lower = fmt::format("L{:.1f} {:.2f}", x, kCanvas * frame.down(bottom)) + lower;
    }
    return upper.empty() ? "" : upper + lower + "Z";
}

std::string dash_rule(const Series& series) {
    return series.dash.empty() ? "" : ";stroke-dasharray:" + series.dash;
}

void draw_curves(std::string& out, const Chart& chart, const Frame& frame) {
    auto to = std::back_inserter(out);
    out +=
        "<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" width=\"100%\" "
        "height=\"100%\" "
        "overflow=\"visible\">\n";
    for (const Series& series : chart.series) {
        const std::vector<size_t> kept =
            thin_out(series.points, static_cast<size_t>(chart.max_points));
        if (!series.half_width.empty())
            fmt::format_to(to, "<path class=\"band\" style=\"fill:var(--{})\" d=\"{}\"/>\n",
                           series.colour, band_of(series, kept, frame));
        fmt::format_to(
            to,
            "<path class=\"curve\" style=\"stroke:var(--{});stroke-width:{:g}px;opacity:{:g}{}\" "
            "vector-effect=\"non-scaling-stroke\" d=\"{}\"/>\n",
            series.colour, series.width, series.opacity, dash_rule(series),
            path_of(series, kept, frame));
    }
    out += "</svg>\n";
}

void draw_marks(std::string& out, const Chart& chart, const Frame& frame) {
    auto to = std::back_inserter(out);
    for (const Series& series : chart.series) {
        const bool dots = series.markers && series.points.size() <= kMaxMarkers;
        size_t crosses = 0;
        for (size_t i = 0; i < series.points.size(); ++i) {
            const Point& p = series.points[i];
            if (frame.shows(p)) {
                // A point without neighbours has no line: it would not be seen.
                const bool alone =
                    (i == 0 || !frame.shows(series.points[i - 1])) &&
                    (i + 1 == series.points.size() || !frame.shows(series.points[i + 1]));
                if (!dots && !alone) continue;
                const double half = series.half_width.empty() ? 0 : series.half_width[i];
                fmt::format_to(
                    to,
                    "<circle cx=\"{:.2f}%\" cy=\"{:.2f}%\" r=\"3.5\" style=\"fill:var(--{})\">"
                    "<title>{}: {}{} at {}</title></circle>\n",
                    100 * frame.across(p.x), 100 * frame.down(p.y), series.colour,
                    escape(series.label), significant(p.y, 5),
                    half > 0 ? " ± " + significant(half, 2) : "", fmt::format("{:.9g}", p.x));
            } else if (std::isfinite(p.x) && ++crosses <= kMaxCrosses) {
                fmt::format_to(
                    to,
                    "<text class=\"lost\" x=\"{:.2f}%\" y=\"0\" dy=\"14\" text-anchor=\"middle\">×"
                    "<title>{}: not finite at {}</title></text>\n",
                    100 * frame.across(p.x), escape(series.label), fmt::format("{:.9g}", p.x));
            }
        }
    }
}

size_t drawn(const Series& series, const Frame& frame) {
    return static_cast<size_t>(std::count_if(series.points.begin(), series.points.end(),
                                             [&](const Point& p) { return frame.shows(p); }));
}

/// The picture in words, for readers that cannot see it.
std::string spoken(const Chart& chart, const Frame& frame) {
    std::string text = fmt::format("{}, {} against {}", chart.title, chart.y.label, chart.x.label);
    for (const Series& series : chart.series) {
        const auto shown = [&](const Point& p) { return frame.shows(p); };
        const auto first = std::find_if(series.points.begin(), series.points.end(), shown);
        const auto last = std::find_if(series.points.rbegin(), series.points.rend(), shown);
        if (first == series.points.end()) continue;
        text += fmt::format("; {}: {} points from {} to {}", series.label, drawn(series, frame),
                            significant(first->y, 4), significant(last->y, 4));
    }
    return text;
}

std::string key_of(const Chart& chart, const Frame& frame) {
    std::string out;
    for (const Series& series : chart.series) {
        const size_t lost = series.points.size() - drawn(series, frame);
        // A lone curve is named by the title of its chart.
        if (chart.series.size() == 1 && lost == 0) continue;
        out += fmt::format(
            "<li><svg class=\"swatch\" width=\"22\" height=\"10\" aria-hidden=\"true\">"
            "<line x1=\"1\" x2=\"21\" y1=\"5\" y2=\"5\" "
            "style=\"stroke:var(--{0});stroke-width:{1:g}px{5}\"/>"
            "{2}</svg>{3}{4}</li>",
            series.colour, std::max(2.0, series.width),
            series.markers ? fmt::format("<circle cx=\"11\" cy=\"5\" r=\"3.5\" "
                                         "style=\"fill:var(--{})\"/>",
                                         series.colour)
                           : "",
            escape(series.label), lost == 0 ? "" : fmt::format(" (× {} not finite)", lost),
            dash_rule(series));
    }
    return out.empty() ? "" : "<ul class=\"key\">" + out + "</ul>";
}

/// Everything inside the plot area.
std::string drawing_of(const Chart& chart, const Frame& frame) {
    std::string out;
    draw_axes(out, chart, frame);
    draw_curves(out, chart, frame);
    draw_marks(out, chart, frame);
    const bool nothing = std::all_of(chart.series.begin(), chart.series.end(),
                                     [&](const Series& s) { return drawn(s, frame) == 0; });
    if (nothing)
        out +=
            "<text class=\"nothing\" x=\"50%\" y=\"50%\" text-anchor=\"middle\">no values "
            "recorded</text>\n";
    if (!chart.watermark.empty())
        // Low in the middle, where falling losses, decaying rates and curves from zero leave room.
        out += fmt::format(
            "<text class=\"watermark\" x=\"50%\" y=\"100%\" dy=\"-12\" "
            "text-anchor=\"middle\">{}</text>\n",
            escape(chart.watermark));
    return out;
}

}  // namespace

std::string chart_document(const Chart& chart) {
    std::vector<DocumentKey> keys;
    for (const Series& series : chart.series)
        keys.push_back({series.label, series.colour, series.dash});
    const Frame frame = frame_of(chart);
    return svg_document({.title = chart.title,
                         .note = chart.note,
                         .spoken = spoken(chart, frame),
                         .keys = std::move(keys),
                         .left = 60,
                         .height = chart.height},
                        drawing_of(chart, frame));
}

std::string chart_html(const Chart& chart) {
    const Frame frame = frame_of(chart);
    std::string out =
        fmt::format("<figure class=\"chart\"><figcaption><h3>{}</h3>", escape(chart.title));
    if (!chart.note.empty()) out += fmt::format("<p class=\"note\">{}</p>", escape(chart.note));
    out += key_of(chart, frame);
    out += fmt::format(
        "</figcaption>\n<div class=\"plot\" style=\"height:{}px\">"
        "<svg role=\"img\" aria-label=\"{}\" width=\"100%\" height=\"100%\">\n",
        chart.height, escape(spoken(chart, frame)));
    out += drawing_of(chart, frame);
    return out + "</svg></div></figure>\n";
}

std::string chart_css() {
    return ".chart{margin:0;min-width:0}\n"
           ".chart h3{margin:0;font-size:1rem}\n"
           ".chart .note{margin:.15rem 0 0;color:var(--muted);font-size:.85rem}\n"
           ".key{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.45rem 0 "
           "0;padding:0;"
           "font-size:.85rem}\n"
           ".key li{display:flex;align-items:center;gap:.4rem}\n"
           ".swatch{flex:none}\n"
           ".plot{margin:2.1rem .9rem 2.9rem 3.3rem}\n"
           ".plot svg{overflow:visible;display:block}\n"
           ".plot text{font-size:12px;fill:var(--muted)}\n"
           ".plot .axis text{fill:var(--text)}\n"
           ".grid line{stroke:var(--grid);stroke-width:1px}\n"
           ".grid .base{stroke:var(--muted)}\n"
           ".curve{fill:none;stroke-linejoin:round;stroke-linecap:round}\n"
           ".band{opacity:.22}\n"
           ".plot circle{stroke:var(--panel);stroke-width:1px}\n"
           ".plot .lost{fill:var(--bad);font-size:16px;font-weight:700}\n"
           ".plot "
           ".watermark{fill:var(--warn);font-weight:700;letter-spacing:.04em;paint-order:stroke;"
           "stroke:var(--panel);stroke-width:4px;stroke-linejoin:round}\n"
           "@media (max-width:620px){.plot{margin-left:3.1rem;margin-right:.6rem}.plot "
           ".alternate{display:none}}\n";
}

}  // namespace knlp::report
