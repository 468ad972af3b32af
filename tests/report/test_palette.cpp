#include "src/report/palette.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace knlp::report {
namespace {

const Colour& named(std::string_view name) {
    const auto found = std::find_if(palette().begin(), palette().end(),
                                    [&](const Colour& c) { return c.name == name; });
    EXPECT_NE(found, palette().end()) << name;
    return *found;
}

using Vector = std::array<double, 3>;
using Matrix = std::array<Vector, 3>;

Vector times(const Matrix& m, const Vector& v) {
    Vector out{};
    for (size_t i = 0; i < 3; ++i)
        for (size_t j = 0; j < 3; ++j) out[i] += m[i][j] * v[j];
    return out;
}

double linear(uint32_t channel) {
    const double c = channel / 255.0;
    return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

/// CIE L*a*b* (D65) of a colour as seen through `vision`.
Vector lab(uint32_t rgb, const Matrix& vision) {
    Vector seen =
        times(vision, {linear(rgb >> 16 & 255), linear(rgb >> 8 & 255), linear(rgb & 255)});
    for (double& c : seen) c = std::clamp(c, 0.0, 1.0);
    Vector xyz = times(
        {{{0.4124, 0.3576, 0.1805}, {0.2126, 0.7152, 0.0722}, {0.0193, 0.1192, 0.9505}}}, seen);
    xyz[0] /= 0.9505;
    xyz[2] /= 1.089;
    for (double& t : xyz) t = t > 0.008856 ? std::cbrt(t) : 7.787 * t + 16.0 / 116;
    return {116 * xyz[1] - 16, 500 * (xyz[0] - xyz[1]), 200 * (xyz[1] - xyz[2])};
}

// Full dichromacy in linear RGB: Machado, Oliveira and Fernandes 2009, table 1, severity 1.0.
const Matrix kVisions[] = {
    {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}},
    {{{0.152286, 1.052583, -0.204868},
      {0.114503, 0.786281, 0.099216},
      {-0.003882, -0.048116, 1.051998}}},
    {{{0.367322, 0.860646, -0.227968},
      {0.280085, 0.672501, 0.047413},
      {-0.011820, 0.042940, 0.968881}}},
    {{{1.255528, -0.076749, -0.178779},
      {-0.078411, 0.930809, 0.147602},
      {0.004733, 0.691367, 0.303900}}},
};

}  // namespace

TEST(Contrast, MatchesPublishedValues) {
    EXPECT_NEAR(contrast(0x000000, 0xFFFFFF), 21.0, 1e-12);
    EXPECT_NEAR(contrast(0xFFFFFF, 0x777777), 4.478, 1e-3);  // WebAIM's contrast checker
    EXPECT_NEAR(contrast(0x0000FF, 0xFFFFFF), 8.592, 1e-3);
    EXPECT_EQ(contrast(0x123456, 0x123456), 1.0);
}

TEST(Palette, EveryPairIsReadableInBothThemes) {
    for (const ColourPair& pair : text_pairs()) {
        const Colour& front = named(pair.foreground);
        const Colour& back = named(pair.background);
        EXPECT_GE(contrast(front.light, back.light), 4.5)
            << pair.foreground << " on " << pair.background;
        EXPECT_GE(contrast(front.dark, back.dark), 4.5)
            << pair.foreground << " on " << pair.background;
    }
}

TEST(Palette, CurvesStayApartForEveryKindOfColourVision) {
    // A difference of 20 in L*a*b* is seen at a glance; about 2.3 is just noticeable.
    for (const Matrix& vision : kVisions)
        for (size_t a = 0; a < series_colours().size(); ++a)
            for (size_t b = a + 1; b < series_colours().size(); ++b)
                for (uint32_t Colour::*theme : {&Colour::light, &Colour::dark}) {
                    const Vector x = lab(named(series_colours()[a]).*theme, vision);
                    const Vector y = lab(named(series_colours()[b]).*theme, vision);
                    EXPECT_GE(std::hypot(x[0] - y[0], x[1] - y[1], x[2] - y[2]), 20.0)
                        << series_colours()[a] << " and " << series_colours()[b];
                }
}

TEST(Palette, CssDefinesEveryColourForBothThemes) {
    const std::string css = palette_css();
    for (const Colour& colour : palette()) {
        const std::string name = "--" + std::string(colour.name) + ":#";
        const size_t first = css.find(name);
        ASSERT_NE(first, std::string::npos) << name;
        EXPECT_NE(css.find(name, first + 1), std::string::npos) << name;
    }
}

}  // namespace knlp::report
