#include "src/report/flame.h"

#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/core/profile.h"
#include "knlp/report/report.h"
#include "src/report/palette.h"
#include "tests/report/fake_run.h"
#include "tests/report/xml_check.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <fstream>

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json node(const char* name, const char* group, const json& parent, double ms) {
    return {{"name", name}, {"group", group}, {"parent", parent}, {"ms", ms}};
}

json group(const char* name, double ms, const json& gflops, const json& roof_share,
           const json& limit) {
    return {{"group", name},    {"ms", ms},        {"share", ms / 10},
            {"gflops", gflops}, {"gbps", nullptr}, {"roof_share", roof_share},
            {"limit", limit}};
}

/// 10 ms: forward with 6 ms of products & 2 ms of attention inside, an optimizer of 2 ms.
json breakdown() {
    return {{"step_ms", 10},
            {"sum_ms", 10},
            {"sum_over_step", 1.0},
            {"other_share", 0.0},
            {"complete", true},
            {"peak_gflops", 100},
            {"peak_gbps", 20},
            {"groups",
             {group("linear_forward", 6, 50, 0.5, "compute"),
              group("attention", 2, nullptr, nullptr, nullptr),
              group("optimizer", 2, nullptr, 0.9, "memory"),
              group("norm", 0, nullptr, nullptr, nullptr)}},
            {"nodes",
             {node("step", "other", nullptr, 0), node("forward", "other", 0, 0),
              node("qkv & fc", "linear_forward", 1, 6), node("attention", "attention", 1, 2),
              node("optimizer", "optimizer", 0, 2)}}};
}

TEST(Flame, BoxesAreAsWideAsTheirShareAndLieBelowTheirRegion) {
    const std::string svg = flame_svg(breakdown());
    EXPECT_EQ(test::xml_problem(svg), "");
    EXPECT_THAT(svg, HasSubstr("<svg x=\"0.000%\" y=\"0\" width=\"100.000%\""));
    EXPECT_THAT(svg, HasSubstr("<svg x=\"0.000%\" y=\"30\" width=\"80.000%\""));
    EXPECT_THAT(svg, HasSubstr("<svg x=\"0.000%\" y=\"60\" width=\"60.000%\""));
    EXPECT_THAT(svg, HasSubstr("<svg x=\"60.000%\" y=\"60\" width=\"20.000%\""));
    EXPECT_THAT(svg, HasSubstr("<svg x=\"80.000%\" y=\"30\" width=\"20.000%\""));
}

TEST(Flame, EveryBoxSaysWhatItIs) {
    const std::string svg = flame_svg(breakdown());
    EXPECT_THAT(svg,
                HasSubstr("<title>qkv &amp; fc, 6.000 ms, 60.0 % of the step (linear_forward)"));
    EXPECT_THAT(svg, HasSubstr("linear_forward 60.0 %; attention 20.0 %; optimizer 20.0 %"));
}

TEST(Flame, TextThatDoesNotFitIsLeftOut) {
    json b = breakdown();
    b["nodes"].push_back(node("a_small_region", "norm", 0, 0.05));
    EXPECT_THAT(flame_svg(b), HasSubstr("<title>a_small_region, "));
    EXPECT_THAT(flame_svg(b), Not(HasSubstr(">a_small_region<")));
}

TEST(Flame, TableLeavesOutWhatTookNoTime) {
    const std::string html = flame_html(breakdown());
    EXPECT_EQ(test::xml_problem(html), "");
    EXPECT_THAT(html, HasSubstr("</span>linear_forward</th><td>6.000</td><td>60.0</td><td>50.00"));
    EXPECT_THAT(html, Not(HasSubstr("</span>norm</th>")));
}

TEST(Flame, SaysWhenTheBreakdownIsNotComplete) {
    json b = breakdown();
    EXPECT_THAT(flame_html(b), Not(HasSubstr("Incomplete")));
    b["complete"] = false;
    EXPECT_THAT(flame_html(b), HasSubstr("Incomplete"));
    EXPECT_THAT(flame_svg(b), HasSubstr("Incomplete"));
}

TEST(Flame, EveryGroupHasAColour) {
    for (int64_t g = 0; g < profile::kGroups; ++g) {
        const std::string name =
            std::string("flame-") + profile::name_of(static_cast<profile::Group>(g));
        EXPECT_TRUE(std::any_of(palette().begin(), palette().end(), [&](const Colour& colour) {
            return colour.name == name;
        })) << name;
    }
}

TEST(Flame, DamagedBreakdownsAreNamed) {
    const auto without = [](const char* pointer) {
        return flame_problem(json::parse(
            breakdown().patch(json::array({{{"op", "remove"}, {"path", pointer}}})).dump()));
    };
    EXPECT_EQ(flame_problem(breakdown()), "");
    EXPECT_THAT(without("/step_ms"), HasSubstr("step_ms"));
    EXPECT_THAT(without("/groups/0/ms"), HasSubstr("ms"));
    EXPECT_THAT(without("/nodes/1/parent"), HasSubstr("parent"));
    EXPECT_THAT(without("/nodes/0"), HasSubstr("order"));
    EXPECT_NE(flame_problem(nullptr), "");
    json loop = breakdown();
    loop["nodes"][1]["parent"] = 3;
    EXPECT_THAT(flame_problem(loop), HasSubstr("order"));
    test::expect_error(kData, {"breakdown"}, [] { breakdown_svg(json::object()); });
}

TEST(Flame, IsOnThePageOfARunThatHasABreakdown) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    EXPECT_THAT(read_file(write_report(run)), Not(HasSubstr("Time of a step")));
    std::ofstream(run / kBreakdownFile) << json{{"what", "step"}, {"details", breakdown()}}.dump();
    const std::string page = read_file(write_report(run));
    EXPECT_EQ(test::xml_problem(page), "");
    EXPECT_NE(page.find("Time of a step"), std::string::npos);
    EXPECT_EQ(page.find("http:"), std::string::npos)
        << "an inline picture names no outside address";
}

TEST(Flame, DamagedBreakdownLeavesALineOnThePage) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    std::ofstream(run / kBreakdownFile) << "{}";
    const std::string page = read_file(write_report(run));
    EXPECT_EQ(page.find("Time of a step"), std::string::npos);
    EXPECT_NE(page.find("breakdown.json: it holds no breakdown"), std::string::npos);
}

}  // namespace
}  // namespace knlp::report
