#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace knlp::report {

/// An entry of the key: a curve's label with its colour and dash.
struct DocumentKey {
    std::string label, colour, dash;
};

/// What stands around a drawing that is a file of its own.
struct Document {
    std::string title, note, spoken;  // spoken: the picture in words
    std::vector<DocumentKey> keys;    // none: no key
    int64_t left = 20;                // pixels left of the drawing, for tick labels
    int64_t height = 300;             // of the drawing
};

/// An SVG document 900 pixels wide around `drawing`, whose positions are percentages of its area
/// and whose rules are chart_css(). Colours are the light ones, written out.
std::string svg_document(const Document& document, const std::string& drawing);

}  // namespace knlp::report
