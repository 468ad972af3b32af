#include "palette.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace knlp::report {
namespace {

// Curves follow Okabe and Ito's set for colour-blind readers, darkened or lightened until each has
// contrast 4.5 with its panel; tests/report/test_palette.cpp computes both properties.
constexpr Colour kPalette[] = {
    {"page", 0xF4F5F7, 0x0F1319},
    {"panel", 0xFFFFFF, 0x181D25},
    {"text", 0x1A1F26, 0xE8EBF0},
    {"muted", 0x56606E, 0xA3ADBA},
    {"line", 0xD9DEE5, 0x303844},
    {"grid", 0xE6E9EE, 0x29303A},
    {"accent", 0x0B5CAD, 0x6CB8F5},
    {"code", 0xEEF1F5, 0x10151C},
    {"good", 0x0A6B4B, 0x4CCB9B},
    {"good-soft", 0xE0F4EC, 0x10312A},
    {"warn", 0x8A4B00, 0xF2B45A},
    {"warn-soft", 0xFFF1D9, 0x36270F},
    {"bad", 0xA8201A, 0xFF9A92},
    {"bad-soft", 0xFDE7E5, 0x3D1A1A},
    {"series-1", 0x1A62C6, 0x79B8FF},
    {"series-2", 0xB34700, 0xF5A623},
    {"series-3", 0x08472A, 0xC4EAD3},
    {"series-4", 0x6A2866, 0xFB5A7F},
    // Boxes of the flame graph, by group of operations: backgrounds of text.
    {"flame-linear_forward", 0xB9D3F5, 0x1F4470},
    {"flame-linear_input", 0xD3E5FA, 0x2B5685},
    {"flame-linear_weight", 0x9DC0EE, 0x163760},
    {"flame-attention", 0xF6C99F, 0x6B3F12},
    {"flame-norm", 0xBFE3C3, 0x1F4D28},
    {"flame-activation", 0xA9DDD6, 0x12504A},
    {"flame-embedding", 0xE8DFA8, 0x57490F},
    {"flame-head", 0xDAC3EC, 0x4B2D63},
    {"flame-optimizer", 0xF3BDBD, 0x6A2727},
    {"flame-data", 0xCBD1DA, 0x3F4856},
    {"flame-other", 0xEAEDF2, 0x2A313C},
};

constexpr ColourPair kPairs[] = {
    {"text", "page"},
    {"text", "panel"},
    {"text", "code"},
    {"muted", "page"},
    {"muted", "panel"},
    {"muted", "code"},
    {"accent", "page"},
    {"accent", "panel"},
    {"accent", "code"},
    {"good", "good-soft"},
    {"warn", "warn-soft"},
    {"bad", "bad-soft"},
    {"text", "warn-soft"},
    {"text", "bad-soft"},
    {"warn", "panel"},
    {"bad", "panel"},
    {"text", "good-soft"},
    {"good", "panel"},
    {"series-1", "panel"},
    {"series-2", "panel"},
    {"series-3", "panel"},
    {"series-4", "panel"},
    {"text", "flame-linear_forward"},
    {"text", "flame-linear_input"},
    {"text", "flame-linear_weight"},
    {"text", "flame-attention"},
    {"text", "flame-norm"},
    {"text", "flame-activation"},
    {"text", "flame-embedding"},
    {"text", "flame-head"},
    {"text", "flame-optimizer"},
    {"text", "flame-data"},
    {"text", "flame-other"},
};

constexpr std::string_view kSeries[] = {"series-1", "series-2", "series-3", "series-4"};

double linear(uint32_t channel) {
    const double c = channel / 255.0;
    return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

}  // namespace

std::span<const Colour> palette() {
    return kPalette;
}
std::span<const ColourPair> text_pairs() {
    return kPairs;
}
std::span<const std::string_view> series_colours() {
    return kSeries;
}

double luminance(uint32_t rgb) {
    return 0.2126 * linear(rgb >> 16 & 255) + 0.7152 * linear(rgb >> 8 & 255) +
           0.0722 * linear(rgb & 255);
}

double contrast(uint32_t a, uint32_t b) {
    const double x = luminance(a), y = luminance(b);
    return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

std::string palette_css() {
    std::string light, dark;
    for (const Colour& c : kPalette) {
        fmt::format_to(std::back_inserter(light), "--{}:#{:06x};", c.name, c.light);
        fmt::format_to(std::back_inserter(dark), "--{}:#{:06x};", c.name, c.dark);
    }
    // Paper is light, whatever the screen is.
    return fmt::format(
        ":root{{color-scheme:light dark;{}}}\n"
        "@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}\n",
        light, dark);
}

std::string with_light_colours(std::string text) {
    for (const Colour& c : kPalette) {
        const std::string variable = fmt::format("var(--{})", c.name);
        for (size_t at = 0; (at = text.find(variable, at)) != std::string::npos;)
            text.replace(at, variable.size(), fmt::format("#{:06x}", c.light));
    }
    return text;
}

}  // namespace knlp::report
