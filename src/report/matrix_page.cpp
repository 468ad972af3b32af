#include "matrix_page.h"

#include "chart_svg.h"
#include "format.h"
#include "matrix_graphs.h"
#include "matrix_words.h"
#include "page_html.h"
#include "palette.h"
#include "rows_svg.h"

#include <fmt/format.h>

#include <string_view>

namespace knlp::report {
namespace {

/// Tables whose columns have names of their own: on a narrow screen each row becomes a card.
std::string matrix_css() {
    return ".cards{table-layout:auto;font-variant-numeric:tabular-nums}\n"
           ".cards th,.cards th:first-child,.cards th:nth-child(3){width:auto}\n"
           ".cards th,.cards td{padding:.35rem .9rem .35rem 0;overflow-wrap:break-word}\n"
           ".cards td:first-child{font-weight:650}\n"
           ".cards .good{color:var(--good);font-weight:650}\n"
           ".cards .bad{color:var(--bad);font-weight:650}\n"
           ".cards small{display:block;color:var(--muted);font-weight:400;overflow-wrap:anywhere}\n"
           ".cards .figure span{white-space:nowrap}\n"
           ".tight{font-size:.84rem;margin-top:0}\n"
           ".scroll{overflow-x:auto}\n"
           "@media screen and (max-width:1120px){.cards,.cards tbody,.cards tr,.cards "
           "td{display:block}"
           ".cards thead{display:none}.cards tr{padding:.6rem 0;border-bottom:1px solid "
           "var(--line)}"
           ".cards td{display:flex;gap:.8rem;padding:.12rem 0;border:0}"
           ".cards td::before{content:attr(data-label);flex:0 0 9.5rem;color:var(--muted)}"
           ".cards td span{min-width:0;overflow-wrap:anywhere}"
           ".cards td:first-child::before{display:none}}\n"
           "@media print{*{-webkit-print-color-adjust:exact;print-color-adjust:exact}"
           "main{max-width:none;padding:0}section{border:0;padding:.4rem 0;break-inside:auto}"
           ".scroll{overflow:visible}.cards{font-size:7pt}.cards th,.cards td{padding-right:.35rem}"
           ".cards .figure span{white-space:normal}h1,h2,h3{break-after:avoid}"
           "tr,figure{break-inside:avoid}thead{display:table-header-group}}\n";
}

std::string_view class_of(std::string_view verdict) {
    if (verdict == "better") return "good";
    return verdict == "worse" ? "bad" : "";
}

/// A percentage stays with its sign.
std::string unbroken(std::string text) {
    for (size_t at = 0; (at = text.find(" %", at)) != std::string::npos;)
        text.replace(at, 1, "\u00A0");
    return text;
}

/// Figures that are torn apart at a line's end are hard to read; lists and sentences may break.
bool is_figure(const std::string& text) {
    return text.size() < 40 && text.find(',') == std::string::npos &&
           text.find_first_of("0123456789") < 3;
}

std::string cell_of(const std::string& head, const std::string& text, const std::string& below) {
    std::string_view kind = head == "verdict" ? class_of(text) : "";
    if (kind.empty() && below.empty() && is_figure(text)) kind = "figure";
    return fmt::format("<td data-label=\"{}\"{}><span>{}{}</span></td>", escape(head),
                       kind.empty() ? "" : fmt::format(" class=\"{}\"", kind), escape(text),
                       below.empty() ? "" : "<small>" + escape(below) + "</small>");
}

/// `below`: a second line in the first column of each row, or nothing.
std::string html_table(const TextTable& table, const std::vector<std::string>& below = {},
                       const char* kind = "cards") {
    std::string out = fmt::format("<div class=\"scroll\"><table class=\"{}\"><thead><tr>", kind);
    for (const std::string& head : table.head)
        out += fmt::format("<th>{}</th>", escape(unbroken(head)));
    out += "</tr></thead>\n<tbody>\n";
    for (size_t r = 0; r < table.rows.size(); ++r) {
        out += "<tr>";
        for (size_t i = 0; i < table.rows[r].size(); ++i)
            out += cell_of(table.head[i], table.rows[r][i],
                           i == 0 && r < below.size() ? below[r] : "");
        out += "</tr>\n";
    }
    return out + "</tbody></table></div>\n";
}

std::string section(const std::string& heading, const std::string& body) {
    return fmt::format("<section>\n<h2>{}</h2>\n{}</section>\n", escape(heading), body);
}

std::string table_section(const std::string& heading, const TextTable& table) {
    return table.rows.empty() ? "" : section(heading, html_table(table, {}, "cards tight"));
}

std::string state_badge(const MatrixData& data) {
    const int64_t all = std::ssize(data.results.rows), done = data.count("done");
    const std::string_view kind = done == all ? "good" : data.count("failed") > 0 ? "bad" : "warn";
    return fmt::format("<span class=\"state state-{}\">{} of {} done</span>", kind, done, all);
}

std::string header(const MatrixData& data) {
    return fmt::format(
        "<header>\n<p class=\"kicker\">knlp test matrix</p>\n<h1>{}</h1>\n"
        "<p class=\"subject\">{}{}</p>\n</header>\n",
        escape(data.plan.name), state_badge(data), escape(state_line(data)));
}

std::string banner(const MatrixData& data) {
    if (data.caveats.empty()) return "";
    std::string out = "<div class=\"banner\" role=\"note\">";
    for (const std::string& note : data.caveats) {
        const size_t colon = note.find(": ");
        size_t bold = colon == std::string::npos || colon > 30 ? 0 : colon + 1;
        if (note.starts_with("one seed")) bold = note.size();
        out += fmt::format("<p><strong>{}</strong>{}</p>", escape(note.substr(0, bold)),
                           escape(note.substr(bold)));
    }
    return out + "</div>\n";
}

std::string verdicts(const MatrixData& data) {
    std::vector<std::string> ids;
    for (const ArmData& arm : data.arms) ids.push_back(arm.id == arm.label ? "" : arm.id);
    std::string notes;
    for (const std::string& note : reading_notes(data))
        notes += fmt::format("<p class=\"note\">{}</p>\n", escape(note));
    return section("Verdicts", html_table(verdict_table(data), ids, "cards tight") + notes);
}

std::string charts(const MatrixData& data) {
    const auto in_section = [](const std::string& figure) {
        return "<section>" + figure + "</section>\n";
    };
    const std::string forest = data.arms.size() > 1 ? in_section(rows_html(forest_plot(data))) : "";
    return forest + in_section(chart_html(loss_over_tokens(data))) +
           in_section(chart_html(loss_over_time(data))) + "<div class=\"charts\">" +
           in_section(rows_html(memory_chart(data))) + in_section(rows_html(time_chart(data))) +
           "</div>\n" + in_section(chart_html(learning_rates(data)));
}

std::string commands(const MatrixData& data) {
    std::string out = "<ul class=\"commands\">\n";
    for (const Fact& command : matrix_commands(data))
        out += fmt::format("<li><span>{}</span><pre>{}</pre></li>\n", escape(command.name),
                           escape(command.value));
    TextTable cells{.head = {"cell", "state", "command"}, .rows = {}};
    for (const matrix::Cell& cell : data.plan.cells)
        cells.rows.push_back({cell.id, data.results.rows[static_cast<size_t>(cell.index)].state,
                              rerun_command(data, cell)});
    out += "</ul>\n<details class=\"inner\"><summary>Each cell</summary>\n" +
           html_table(cells, {}, "cards tight") + "</details>\n";
    return section("Repeat it", out);
}

std::string provenance(const MatrixData& data) {
    std::string out = "<dl class=\"facts\">\n";
    for (const Fact& fact : facts_of(data)) {
        const bool code = fact.name.ends_with("SHA-256") || fact.name == "Evaluation windows";
        const std::string text = escape(fact.value);
        out += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape(fact.name),
                           code ? "<code>" + text + "</code>" : text);
    }
    return section("Plan and provenance", out + "</dl>\n");
}

}  // namespace

std::string matrix_page(const MatrixData& data) {
    std::string out =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n";
    out += fmt::format(
        "<title>{} – knlp matrix</title>\n<style>\n{}{}{}</style>\n</head>\n<body>\n<main>\n",
        escape(data.plan.name), palette_css(), page_css(), chart_css() + rows_css() + matrix_css());
    out += header(data) + banner(data) + verdicts(data) + charts(data);
    out += table_section("Behind the differences", difference_table(data));
    out += table_section("Cost", cost_table(data));
    out += table_section("Pairs that do not count", dropped_table(data));
    out += table_section("Cells that are no result", unfinished_table(data));
    out += table_section("What differs between the arms", configuration_table(data));
    out += table_section("Excluded by the plan", exclusion_table(data));
    out += commands(data) + provenance(data);
    out +=
        "<footer>Made by knlp report from the plan and the files of the cells; metrics.jsonl of "
        "each "
        "is the source of every figure.</footer>\n</main>\n</body>\n</html>\n";
    return out;
}

}  // namespace knlp::report
