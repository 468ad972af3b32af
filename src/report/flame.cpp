#include "flame.h"

#include "format.h"
#include "palette.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <vector>

namespace knlp::report {
namespace {

using nlohmann::json;

constexpr double kRow = 30, kGap = 2;  // pixels
constexpr double kNarrowest = 0.0005;  // of the step: less is not drawn
constexpr double kCharacter = 7.2;     // pixels of 12-pixel text, about
constexpr double kDrawing = 900;       // pixels of the drawing, about, to see what text fits
constexpr int64_t kWidth = 1000, kMargin = 20, kTitle = 70;  // of the document

/// A region with its place in the drawing, in parts of the whole width.
struct Box {
    std::string name, group;
    double own_ms = 0, all_ms = 0;
    double left = 0, width = 0;
    int64_t depth = 0, parent = -1;
};

/// Parents come before their children, both in the file and here.
std::vector<Box> boxes_of(const json& breakdown) {
    std::vector<Box> boxes;
    for (const json& node : breakdown.at("nodes")) {
        Box box{.name = node.at("name"), .group = node.at("group")};
        box.own_ms = box.all_ms = node.at("ms");
        if (node.at("parent").is_number()) box.parent = node.at("parent").get<int64_t>();
        boxes.push_back(std::move(box));
    }
    for (size_t i = boxes.size(); i-- > 1;)
        boxes[static_cast<size_t>(boxes[i].parent)].all_ms += boxes[i].all_ms;
    const double whole = std::max(boxes.front().all_ms, 1e-9);
    std::vector<double> next(boxes.size(), 0.0);  // where the next child of each begins
    for (size_t i = 0; i < boxes.size(); ++i) {
        Box& box = boxes[i];
        box.width = box.all_ms / whole;
        if (i > 0) {
            const auto parent = static_cast<size_t>(box.parent);
            box.left = next[parent];
            box.depth = boxes[parent].depth + 1;
            next[parent] += box.width;
        }
        next[i] = box.left;
    }
    return boxes;
}

double height_of(const std::vector<Box>& boxes) {
    int64_t deepest = 0;
    for (const Box& box : boxes)
        if (box.width >= kNarrowest) deepest = std::max(deepest, box.depth);
    return static_cast<double>(deepest + 1) * kRow;
}

/// "qkv, 12.3 ms, 8.1 % of the step (linear_forward)"
std::string words_of(const Box& box) {
    const std::string group = box.group == box.name ? "" : " (" + box.group + ")";
    return fmt::format("{}, {} ms, {} % of the step{}", box.name, significant(box.all_ms, 4),
                       significant(100 * box.width, 3), group);
}

/// The palette's colour of a group; a group it does not know looks like other.
std::string colour_of(const std::string& group) {
    const std::string name = "flame-" + group;
    const bool known = std::any_of(palette().begin(), palette().end(),
                                   [&](const Colour& colour) { return colour.name == name; });
    return known ? name : "flame-other";
}

void draw(std::string& out, const std::vector<Box>& boxes) {
    for (const Box& box : boxes) {
        if (box.width < kNarrowest) continue;
        const std::string label = fmt::format("{} {} %", box.name, significant(100 * box.width, 3));
        const double room = box.width * kDrawing / kCharacter - 2;
        const std::string& text = room >= static_cast<double>(label.size()) ? label : box.name;
        fmt::format_to(std::back_inserter(out),
                       "<svg x=\"{:.3f}%\" y=\"{:.0f}\" width=\"{:.3f}%\" height=\"{:.0f}\">"
                       "<title>{}</title><rect width=\"100%\" height=\"100%\" "
                       "style=\"fill:var(--{})\"/>",
                       100 * box.left, static_cast<double>(box.depth) * kRow, 100 * box.width,
                       kRow - kGap, escape(words_of(box)), colour_of(box.group));
        if (room >= static_cast<double>(text.size()))
            fmt::format_to(std::back_inserter(out), "<text x=\"6\" y=\"19\">{}</text>",
                           escape(text));
        out += "</svg>\n";
    }
}

/// The picture in words, for readers that cannot see it: what takes 1 % and more.
std::string spoken(const json& breakdown) {
    std::string text = fmt::format("Where the {} ms of a training step go",
                                   significant(breakdown.at("step_ms").get<double>(), 4));
    for (const json& row : breakdown.at("groups"))
        if (const double share = row.at("share"); share >= 0.01)
            text += fmt::format("; {} {} %", row.at("group").get<std::string>(),
                                significant(100 * share, 3));
    return text;
}

std::string cell(const json& value, double factor, int digits) {
    return value.is_number() ? significant(factor * value.get<double>(), digits) : "–";
}

std::string table_of(const json& breakdown) {
    std::string out =
        "<table class=\"groups\"><thead><tr><th scope=\"col\">group</th>"
        "<th scope=\"col\">ms</th><th scope=\"col\">share %</th><th scope=\"col\">GFLOP/s</th>"
        "<th scope=\"col\">GB/s</th><th scope=\"col\">of the roof %</th>"
        "<th scope=\"col\">limited by</th></tr></thead>\n<tbody>\n";
    for (const json& row : breakdown.at("groups")) {
        if (row.at("ms") == 0.0) continue;
        const std::string group = escape(row.at("group").get<std::string>());
        out += fmt::format(
            "<tr><th scope=\"row\"><span class=\"swatch-box\" "
            "style=\"background:var(--{7})\">"
            "</span>{0}</th><td>{1}</td><td>{2}</td><td>{3}</td><td>{4}</td><td>{5}</td>"
            "<td>{6}</td></tr>\n",
            group, cell(row.at("ms"), 1, 4), cell(row.at("share"), 100, 3),
            cell(row.at("gflops"), 1, 4), cell(row.at("gbps"), 1, 3),
            cell(row.at("roof_share"), 100, 3),
            row.at("limit").is_string() ? escape(row.at("limit").get<std::string>()) : "–",
            colour_of(row.at("group").get<std::string>()));
    }
    return out + "</tbody></table>\n";
}

std::string sum_of(const json& breakdown) {
    return fmt::format("The regions add up to {} % of a step of {} ms taken without booking.{}",
                       significant(100 * breakdown.at("sum_over_step").get<double>(), 4),
                       significant(breakdown.at("step_ms").get<double>(), 4),
                       breakdown.at("complete").get<bool>()
                           ? ""
                           : " Incomplete: too much time is missing, or in other.");
}

std::string roof_of(const json& breakdown) {
    return fmt::format("Roof: {} GFLOP/s, {} GB/s, measured in the same process.",
                       significant(breakdown.at("peak_gflops").get<double>(), 4),
                       significant(breakdown.at("peak_gbps").get<double>(), 3));
}

constexpr const char* kBoxCss =
    ".flame text{font-size:12px;fill:var(--text)}\n"
    ".flame rect{stroke:var(--panel);stroke-width:1px}\n";

}  // namespace

std::string flame_css() {
    return std::string(kBoxCss) +
           ".flame{display:block;margin:.9rem 0 .4rem}\n"
           ".groups{table-layout:auto;white-space:nowrap}\n"
           ".groups th,.groups th:first-child,.groups th:nth-child(3){width:auto}\n"
           ".groups th+th,.groups td{padding-left:.6rem}\n"
           ".groups td,.groups thead th+th{text-align:right;font-variant-numeric:tabular-nums}\n"
           ".groups tbody th{color:var(--text);font-weight:400}\n"
           ".swatch-box{display:inline-block;width:.85rem;height:.85rem;margin-right:.5rem;"
           "border:1px solid var(--muted);border-radius:.2rem;vertical-align:-.1rem}\n"
           ".scroll{overflow-x:auto}\n";
}

std::string flame_svg(const json& breakdown) {
    const std::vector<Box> boxes = boxes_of(breakdown);
    const double height = height_of(boxes);
    std::string out = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{0}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0} {1:.0f}\">\n<title>{2}</title>\n<style>\n{3}{4}"
        "text{{font-family:system-ui,\"Liberation Sans\",sans-serif}}\n</style>\n"
        "<rect width=\"100%\" height=\"100%\" style=\"fill:var(--panel)\"/>\n"
        "<text x=\"{5}\" y=\"24\" style=\"fill:var(--text);font-size:16px;font-weight:650\">Time "
        "of "
        "a training step</text>\n"
        "<text x=\"{5}\" y=\"42\" style=\"fill:var(--muted);font-size:12px\">{6}</text>\n"
        "<text x=\"{5}\" y=\"58\" style=\"fill:var(--muted);font-size:12px\">{7}</text>\n",
        kWidth, height + kTitle + kMargin, escape(spoken(breakdown)), palette_css(), kBoxCss,
        kMargin, escape(sum_of(breakdown)), escape(roof_of(breakdown)));
    out += fmt::format("<svg class=\"flame\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{:.0f}\">\n",
                       kMargin, kTitle, kWidth - 2 * kMargin, height);
    draw(out, boxes);
    return out + "</svg>\n</svg>\n";
}

std::string flame_html(const json& breakdown) {
    const std::vector<Box> boxes = boxes_of(breakdown);
    std::string out = fmt::format(
        "<section><figure class=\"chart\"><figcaption><h3>Time of a step</h3>"
        "<p class=\"note\">{}</p></figcaption>\n"
        "<svg class=\"flame\" role=\"img\" aria-label=\"{}\" width=\"100%\" height=\"{:.0f}\">\n",
        escape(sum_of(breakdown) + " " + roof_of(breakdown)), escape(spoken(breakdown)),
        height_of(boxes));
    draw(out, boxes);
    return out + "</svg>\n<div class=\"scroll\">" + table_of(breakdown) +
           "</div></figure></section>\n";
}

std::string flame_problem(const json& breakdown) {
    if (!breakdown.is_object()) return "it holds no breakdown";
    for (const char* key : {"step_ms", "sum_over_step", "peak_gflops", "peak_gbps"})
        if (!breakdown.contains(key) || !breakdown.at(key).is_number())
            return fmt::format("its breakdown has no number {}", key);
    if (!breakdown.contains("complete") || !breakdown.at("complete").is_boolean())
        return "its breakdown does not say whether it is complete";
    for (const char* key : {"groups", "nodes"})
        if (!breakdown.contains(key) || !breakdown.at(key).is_array() || breakdown.at(key).empty())
            return fmt::format("its breakdown has no {}", key);
    for (const json& row : breakdown.at("groups")) {
        for (const char* key : {"ms", "share"})
            if (!row.contains(key) || !row.at(key).is_number())
                return fmt::format("a group of its breakdown has no number {}", key);
        for (const char* key : {"group", "gflops", "gbps", "roof_share", "limit"})
            if (!row.contains(key)) return fmt::format("a group of its breakdown has no {}", key);
        if (!row.at("group").is_string()) return "a group of its breakdown has no name";
    }
    int64_t index = 0;
    for (const json& node : breakdown.at("nodes")) {
        for (const char* key : {"name", "group"})
            if (!node.contains(key) || !node.at(key).is_string())
                return fmt::format("a region of its breakdown has no {}", key);
        if (!node.contains("ms") || !node.at("ms").is_number() || !node.contains("parent"))
            return "a region of its breakdown has no time or no parent";
        const json& parent = node.at("parent");
        const bool placed =
            index == 0 ? parent.is_null()
                       : parent.is_number_integer() && parent >= 0 && parent.get<int64_t>() < index;
        if (!placed) return "the regions of its breakdown are out of order";
        ++index;
    }
    return "";
}

}  // namespace knlp::report
