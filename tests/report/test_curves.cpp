#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "src/report/chart_svg.h"
#include "src/report/curves_csv.h"
#include "tests/report/fake_run.h"
#include "tests/report/xml_check.h"
#include "tests/support/temp_dir.h"

namespace knlp::report {
namespace {

std::vector<std::string> split(const std::string& line) {
    std::vector<std::string> out(1);
    for (char c : line) {
        if (c == ',')
            out.emplace_back();
        else
            out.back() += c;
    }
    return out;
}

/// Coordinates of the path drawn with this colour, in thousandths of the plot area.
std::vector<std::pair<double, double>> path_points(const std::string& svg,
                                                   const std::string& colour) {
    const size_t curve = svg.find("class=\"curve\" style=\"stroke:var(--" + colour + ")");
    const size_t begin = svg.find(" d=\"", curve) + 4;
    std::string text = svg.substr(begin, svg.find('"', begin) - begin);
    for (char& c : text)
        if (c == 'M' || c == 'L') c = ' ';
    std::istringstream in(text);
    std::vector<std::pair<double, double>> out;
    for (double x = 0, y = 0; in >> x >> y;) out.emplace_back(x, y);
    return out;
}

}  // namespace

TEST(CurvesCsv, HoldsExactlyTheNumbersOfTheMetrics) {
    test::TempDir dir;
    const auto path = test::write_fake_run(dir.path(), {.steps = 100, .eval_every = 50});
    std::istringstream lines(curves_csv(read_run(path)));
    std::string line;
    std::getline(lines, line);
    const std::vector<std::string> header = split(line);
    size_t rows = 0;
    for (const auto& event : track::read_metrics(path)) {
        const std::string kind = event.at("event");
        if (kind == "eval") continue;
        ASSERT_TRUE(std::getline(lines, line));
        const std::vector<std::string> row = split(line);
        ASSERT_EQ(row.size(), header.size());
        for (size_t i = 1; i < row.size(); ++i) {
            if (row[i].empty())
                EXPECT_FALSE(event.contains(header[i])) << header[i];
            else
                EXPECT_EQ(std::stod(row[i]), event.at(header[i]).get<double>()) << header[i];
        }
        ++rows;
    }
    EXPECT_EQ(rows, 10u);
    for (int64_t step : {0, 50, 100}) {
        ASSERT_TRUE(std::getline(lines, line));
        const std::vector<std::string> row = split(line);
        EXPECT_EQ(row.front(), "eval");
        EXPECT_EQ(std::stoll(row[1]), step);
        EXPECT_EQ(std::stod(row[9]), test::fake_val_loss(step));
    }
    EXPECT_FALSE(std::getline(lines, line));
}

TEST(Chart, DrawsPointsWhereTheAxesSay) {
    const Chart chart{
        .title = "t",
        .note = "",
        .watermark = "",
        .x = {.label = "step", .low = 0, .high = 4},
        .y = {.label = "y", .low = 0, .high = 10},
        .series = {{.label = "a", .points = {{0, 0}, {2, 5}, {4, 10}}, .half_width = {}}}};
    EXPECT_EQ(path_points(chart_html(chart), "series-1"),
              (std::vector<std::pair<double, double>>{{0, 1000}, {500, 500}, {1000, 0}}));
}

TEST(Chart, LogAxesPlaceDecadesEvenly) {
    const Chart chart{.title = "t",
                      .note = "",
                      .watermark = "",
                      .x = {.label = "n", .scale = Scale::kLog},
                      .y = {.label = "s", .scale = Scale::kLog},
                      .series = {{.label = "a",
                                  .points = {{1, 1}, {10, 10}, {100, 100}, {0, 5}, {5, -1}},
                                  .half_width = {}}}};
    const std::string html = chart_html(chart);
    EXPECT_EQ(path_points(html, "series-1"),
              (std::vector<std::pair<double, double>>{{0, 1000}, {500, 500}, {1000, 0}}));
    EXPECT_EQ(test::xml_problem(html), "");
}

TEST(Chart, BreaksTheLineAtAGap) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const Chart chart{.title = "t",
                      .note = "",
                      .watermark = "",
                      .x = {.label = "x"},
                      .y = {.label = "y"},
                      .series = {{.label = "a",
                                  .points = {{0, 1}, {1, 2}, {2, nan}, {3, 2}, {4, 1}},
                                  .half_width = {}}}};
    const std::string html = chart_html(chart);
    const size_t begin = html.find(" d=\"", html.find("class=\"curve\""));
    const std::string path = html.substr(begin, html.find("/>", begin) - begin);
    EXPECT_EQ(std::count(path.begin(), path.end(), 'M'), 2);
    EXPECT_NE(html.find("(× 1 not finite)"), std::string::npos);
    EXPECT_EQ(test::xml_problem(html), "");
}

TEST(Chart, BandReachesOneHalfWidthToEachSide) {
    const Chart chart{.title = "t",
                      .note = "",
                      .watermark = "",
                      .x = {.label = "x", .low = 0, .high = 1},
                      .y = {.label = "y", .low = 0, .high = 10},
                      .series = {{.label = "a", .points = {{0, 5}, {1, 5}}, .half_width = {1, 2}}}};
    const std::string html = chart_html(chart);
    EXPECT_NE(html.find("d=\"M0.0 400.00L1000.0 300.00L1000.0 700.00L0.0 600.00Z\""),
              std::string::npos)
        << html;
}

TEST(Chart, LimitsThePointsItDraws) {
    Series series{.label = "a", .points = {}, .half_width = {}};
    for (int i = 0; i < 50000; ++i) series.points.push_back({double(i), std::cos(i * 0.1)});
    const Chart chart{.title = "t",
                      .note = "",
                      .watermark = "",
                      .x = {.label = "x"},
                      .y = {.label = "y"},
                      .series = {series}};
    const size_t n = path_points(chart_html(chart), "series-1").size();
    EXPECT_LE(n, 800u);
    EXPECT_GE(n, 400u);
}

TEST(Chart, EscapesItsTexts) {
    const Chart chart{
        .title = "<t>",
        .note = "a & b",
        .watermark = "\"w\"",
        .x = {.label = "<x>"},
        .y = {.label = "'y'"},
        .series = {
            {.label = "<a>", .points = {{0, 1}, {1, 2}}, .half_width = {}, .markers = true}}};
    EXPECT_EQ(test::xml_problem(chart_html(chart)), "");
}

}  // namespace knlp::report
