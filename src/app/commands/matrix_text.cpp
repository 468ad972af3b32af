#include "src/app/commands/matrix_text.h"

#include "knlp/core/memory_estimate.h"
#include "knlp/core/text.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace knlp::app {
namespace {

std::string budget_text(const matrix::Budget& budget) {
    if (budget.kind == "flops") return fmt::format("{:.4g} operations", budget.amount);
    return fmt::format("{:.0f} {}", budget.amount, budget.kind == "time" ? "seconds" : budget.kind);
}

std::string settings_text(const matrix::Arm& arm) {
    std::vector<std::string> parts;
    for (const matrix::Setting& setting : arm.settings)
        parts.push_back(setting.name + "=" + setting.value);
    return fmt::format("{}", fmt::join(parts, " "));
}

std::string time_text(const matrix::Estimate& estimate) {
    if (!estimate.wall_s) return "time unknown";
    return fmt::format("{} ({})", duration_text(*estimate.wall_s), estimate.wall_source);
}

std::string arm_text(const matrix::Plan& plan, const matrix::Arm& arm) {
    const train::Choices& c = arm.choices;
    return fmt::format(
        "arm       {}{}\n          {}{}{} parameters, {}, {}; {} thread{}, {} x {} sequences, {}, "
        "GEMM {}\n",
        arm.id, arm.id == plan.baseline ? "  (baseline)" : "", settings_text(arm),
        arm.settings.empty() ? "" : "\n          ", arm.parameters.value_or(0),
        arm.estimate.memory_bytes
            ? fmt::format("{} of memory ({})", bytes_text(*arm.estimate.memory_bytes),
                          arm.estimate.memory_source)
            : "memory unknown",
        time_text(arm.estimate), c.threads, c.threads == 1 ? "" : "s", c.micro, c.accumulation,
        c.isa, c.gemm.empty() ? "not measured yet" : c.gemm);
}

}  // namespace

std::string total_time_text(const matrix::Plan& plan) {
    double seconds = 0;
    int64_t left = 0;
    for (const matrix::Cell& cell : plan.cells) {
        if (!cell.imported_from.empty()) continue;
        const matrix::Estimate& estimate = plan.arm(cell.arm).estimate;
        if (!estimate.wall_s) return "unknown";
        seconds += *estimate.wall_s;
        ++left;
    }
    const double slots =
        static_cast<double>(std::clamp<int64_t>(left, 1, std::max<int64_t>(1, plan.jobs)));
    return "about " + duration_text(seconds / slots);
}

std::string plan_summary(const matrix::Plan& plan) {
    const auto imported =
        std::count_if(plan.cells.begin(), plan.cells.end(),
                      [](const matrix::Cell& cell) { return !cell.imported_from.empty(); });
    std::string text = fmt::format(
        "plan      {}\ncells     {}: {} arm{} x {} seed{} ({}), {} at once{}\n", plan.name,
        plan.cells.size(), plan.arms.size(), plan.arms.size() == 1 ? "" : "s", plan.seeds.size(),
        plan.seeds.size() == 1 ? "" : "s", fmt::join(plan.seeds, ", "), plan.jobs,
        imported > 0 ? fmt::format(", {} taken over from earlier matrices", imported) : "");
    text += fmt::format("budget    {} for each cell, {} sequences a step, on {}\ntime      {}\n",
                        budget_text(plan.budget), plan.effective_batch, plan.device,
                        total_time_text(plan));
    for (const matrix::Arm& arm : plan.arms) text += arm_text(plan, arm);
    for (const matrix::Cell& cell : plan.cells)
        text +=
            fmt::format("cell      {:>4} {}{}\n", cell.index, cell.id,
                        cell.imported_from.empty() ? "" : "  (from " + cell.imported_from + ")");
    for (const matrix::Excluded& excluded : plan.excluded)
        text += fmt::format("excluded  {}: {}: {}\n", fmt::join(excluded.labels, ", "),
                            excluded.rule, excluded.why);
    for (const matrix::Build& build : plan.builds)
        for (const matrix::Setting& symbol : build.symbols)
            text += fmt::format("build     {}={} needs a binary of its own\n", symbol.name,
                                symbol.value);
    for (const std::string& difference : plan.differences)
        text += fmt::format("differs   {}\n", difference);
    return text;
}

}  // namespace knlp::app
