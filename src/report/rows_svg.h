#pragma once

#include <optional>
#include <string>
#include <vector>

namespace knlp::report {

/// A line of a chart of rows: a value with its interval and the single values it is made of.
struct MarkRow {
    std::string label, text;  // above the line, left and right
    std::string colour = "series-1";
    double value = 0;          // not finite: the line is empty, the texts stand
    double low = 0, high = 0;  // of the interval; not finite: none is drawn
    std::vector<double> dots;
};

/// Rows over one axis: differences with intervals (a forest plot) or amounts as bars from zero.
/// Text keeps its size at every width.
struct RowChart {
    std::string title, note, axis, watermark;
    std::vector<MarkRow> rows;
    bool bars = false;
    std::optional<double> band;  // half width of a band around zero
};
std::string rows_html(const RowChart& chart);
/// As an SVG document of its own, in the light colours.
std::string rows_document(const RowChart& chart);
std::string rows_css();

}  // namespace knlp::report
