#include "history.h"

#include "members.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/stats.h"
#include "knlp/matrix/cell_result.h"
#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

bool equal(const train::Choices& a, const train::Choices& b) {
    // Records of before do not say how bfloat16 was multiplied.
    const bool unlike =
        a.bf16_dot_products && b.bf16_dot_products && *a.bf16_dot_products != *b.bf16_dot_products;
    return a.threads == b.threads && a.isa == b.isa && a.gemm == b.gemm && a.micro == b.micro &&
           a.accumulation == b.accumulation && !unlike;
}

/// The manifest of a finished run; null where there is none.
json finished_manifest(const fs::path& run) {
    try {
        json manifest = track::read_manifest(run);
        if (manifest.value("state", "") == "done") return manifest;
    } catch (const std::exception&) {  // absent or damaged: no history
    }
    return nullptr;
}

/// Records do not name machines: of one like this, which takes as long.
bool of_such_a_machine(const json& manifest) {
    const auto found = manifest.find("host");
    return found != manifest.end() && found->is_object() &&
           text_at(*found, "cpu_model") == host().cpu_model &&
           found->value("cores", json()) == host().cores &&
           found->value("memory_bytes", json()) == host().memory_bytes;
}

/// Whether the run is the cell's: what the manifest says, not what was planned.
bool is_finished(const fs::path& run, const Plan& plan, const Cell& cell) {
    const json manifest = finished_manifest(run);
    if (!manifest.is_object() || text_at(manifest, "binary_sha256") != plan.arm(cell.arm).build ||
        text_at(manifest, "experiment_sha256") != cell.config_sha256)
        return false;
    try {
        const CellResult result = read_cell(run, cell.arm);
        return result.failure().empty() && result.data_sha256 == data_sha256(plan.data) &&
               result.windows_sha256 == plan.windows_sha256;
    } catch (const Error&) {  // damaged: the cell runs again
        return false;
    }
}

}  // namespace

std::string data_sha256(const std::vector<PlannedFile>& files) {
    std::vector<std::string> parts;
    for (const PlannedFile& file : files) parts.push_back(file.role + "=" + file.sha256);
    return fmt::format("{}", fmt::join(parts, " "));
}

History::History(const fs::path& output_dir) : output_dir_(output_dir) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(output_dir / "matrix", error)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(".") || !fs::exists(entry.path() / kPlanFile, error)) continue;
        try {
            past_.push_back({entry.path(), read_plan(entry.path())});
        } catch (const Error&) {  // edited or of another version: its results are nobody's
        }
    }
    std::sort(past_.begin(), past_.end(),
              [](const Past& a, const Past& b) { return a.directory < b.directory; });
}

Estimate History::estimate(const Arm& arm) const {
    std::vector<double> seconds;
    std::vector<std::string> where;
    for (const Past& past : past_) {
        const size_t before = seconds.size();
        for (const Cell& cell : past.plan.cells) {
            const Arm& other = past.plan.arm(cell.arm);
            if (other.config_sha256 != arm.config_sha256 || !equal(other.choices, arm.choices))
                continue;
            const json manifest = finished_manifest(cell_directory(past.directory, cell));
            if (manifest.is_object() && of_such_a_machine(manifest) &&
                manifest["wall_s"].is_number())
                seconds.push_back(manifest["wall_s"].get<double>());
        }
        if (seconds.size() > before) where.push_back(past.plan.name);
    }
    if (seconds.empty()) return {};
    return {.wall_s = mean(seconds),
            .memory_bytes = {},
            .wall_source = fmt::format("{} finished run{} in {}{}", seconds.size(),
                                       seconds.size() == 1 ? "" : "s", where.back(),
                                       where.size() > 1 ? " and before" : ""),
            .memory_source = ""};
}

std::string History::finished(const Plan& plan, const Cell& cell) const {
    const Arm& arm = plan.arm(cell.arm);
    for (const Past& past : past_) {
        for (const Cell& other : past.plan.cells) {
            if (other.config_sha256 != cell.config_sha256) continue;
            const Arm& its = past.plan.arm(other.arm);
            if (its.build != arm.build || !equal(its.choices, arm.choices)) continue;
            if (is_finished(cell_directory(past.directory, other), plan, cell))
                return fs::path("matrix") / past.directory.filename() / "cells" / other.id;
        }
    }
    return "";
}

}  // namespace knlp::matrix
