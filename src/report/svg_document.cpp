#include "svg_document.h"

#include "chart_svg.h"
#include "format.h"
#include "palette.h"
#include "rows_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace knlp::report {
namespace {

constexpr int64_t kWidth = 900, kRight = 30, kLine = 20, kBottom = 52;
constexpr size_t kNoteLine = 125;    // characters of 12 pixels in the width, about
constexpr double kKeyCharacter = 7;  // pixels of 12-pixel text, about

/// `text` in lines of at most `width` bytes, broken at blanks.
std::vector<std::string> wrapped(std::string_view text, size_t width) {
    std::vector<std::string> lines;
    while (text.size() > width) {
        const size_t blank = text.rfind(' ', width);
        if (blank == std::string_view::npos || blank == 0) break;
        lines.emplace_back(text.substr(0, blank));
        text.remove_prefix(blank + 1);
    }
    if (!text.empty()) lines.emplace_back(text);
    return lines;
}

/// The key in as many lines as it needs; `y` is moved below it.
std::string key_text(const std::vector<DocumentKey>& keys, int64_t& y) {
    if (keys.size() < 2) return "";
    std::string out;
    double x = 20;
    for (const DocumentKey& key : keys) {
        const double width = 40 + kKeyCharacter * static_cast<double>(key.label.size());
        if (x > 20 && x + width > static_cast<double>(kWidth)) {
            x = 20;
            y += kLine;
        }
        out += fmt::format(
            "<line x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"{}\" y2=\"{}\" "
            "style=\"stroke:var(--{});stroke-width:2px{}\"/>"
            "<text x=\"{:.0f}\" y=\"{}\">{}</text>\n",
            x, x + 20, y - 4, y - 4, key.colour,
            key.dash.empty() ? "" : ";stroke-dasharray:" + key.dash, x + 26, y, escape(key.label));
        x += width;
    }
    y += kLine;
    return out;
}

}  // namespace

std::string svg_document(const Document& document, const std::string& drawing) {
    int64_t y = 30;
    std::string head = fmt::format("<text class=\"title\" x=\"20\" y=\"{}\">{}</text>\n", y,
                                   escape(document.title));
    y += kLine;
    for (const std::string& line : wrapped(document.note, kNoteLine)) {
        head += fmt::format("<text x=\"20\" y=\"{}\">{}</text>\n", y, escape(line));
        y += kLine;
    }
    head += key_text(document.keys, y);
    y += kLine;  // for the label of the axis above the drawing
    const int64_t height = y + document.height + kBottom;
    const std::string out = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{0}\" height=\"{1}\" "
        "viewBox=\"0 0 {0} {1}\" aria-label=\"{2}\">\n<style>\n"
        "text{{font-family:system-ui,\"Liberation Sans\",sans-serif;font-size:12px}}\n"
        "{3}.title{{font-weight:650}}\n.plot .title{{font-size:16px;fill:var(--text)}}\n</style>\n"
        "<rect width=\"100%\" height=\"100%\" style=\"fill:var(--panel)\"/>\n"
        "<g class=\"plot\">\n{4}<svg x=\"{5}\" y=\"{6}\" width=\"{7}\" height=\"{8}\" "
        "overflow=\"visible\">\n{9}</svg>\n</g>\n</svg>\n",
        kWidth, height, escape(document.spoken), chart_css() + rows_css(), head, document.left, y,
        kWidth - document.left - kRight, document.height, drawing);
    return with_light_colours(out);
}

}  // namespace knlp::report
