#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chart_scale.h"

namespace knlp::report {

/// One curve. Values that are not finite break the line and are counted in the key.
struct Series {
    std::string label;
    std::string colour = "series-1";  // name in the palette
    std::vector<Point> points;
    std::vector<double> half_width;  // of a band around each point, same length, or empty
    bool markers = false;            // a dot with its value as tooltip at every point
    double width = 1.75;             // of the line, pixels
    double opacity = 1;
    std::string dash;  // of the line, as stroke-dasharray; "" = drawn through
};

struct Axis {
    std::string label;  // with its unit
    Scale scale = Scale::kLinear;
    bool from_zero = false, whole = false;  // whole: ticks at whole numbers only
    std::optional<double> low, high;        // fixed ends instead of the data's
};

/// A line chart as a <figure>: caption with key, then inline SVG whose text keeps its size at every
/// width (positions are percentages, only the curves stretch). No script, no reference to anything.
struct Chart {
    std::string title;
    std::string note;       // under the title, may be empty
    std::string watermark;  // printed into the plot, may be empty
    Axis x, y;
    std::vector<Series> series;
    int64_t height = 260;      // pixels of the plot area
    int x_ticks = 8;           // wanted along x; fewer for a chart that stays narrow
    int64_t max_points = 800;  // a curve, after thinning
};

/// Same chart, same text. Colours come from palette_css(), rules from chart_css().
std::string chart_html(const Chart& chart);
/// The chart as an SVG document of its own, in the light colours.
std::string chart_document(const Chart& chart);
std::string chart_css();

}  // namespace knlp::report
