#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace knlp::report {

/// A colour of the page, by the CSS variable that carries it, in the light and the dark theme.
struct Colour {
    std::string_view name;  // "text" -> var(--text)
    uint32_t light, dark;   // 0xRRGGBB
};
std::span<const Colour> palette();

/// Pairs (foreground, background) by name that appear together on the page as text, curve or key:
/// all have a contrast of at least 4.5 in both themes.
struct ColourPair {
    std::string_view foreground, background;
};
std::span<const ColourPair> text_pairs();

/// Names of the colours of curves, in the order charts use them: distinct for the three kinds of
/// colour blindness.
std::span<const std::string_view> series_colours();

/// Relative luminance in [0, 1] and contrast ratio in [1, 21] of sRGB colours (WCAG 2.2).
double luminance(uint32_t rgb);
double contrast(uint32_t a, uint32_t b);

/// The palette as CSS custom properties: light on :root, dark below prefers-color-scheme.
std::string palette_css();

/// `text` with each var(--name) replaced by its light colour, for programs that draw SVG without
/// CSS variables.
std::string with_light_colours(std::string text);

}  // namespace knlp::report
