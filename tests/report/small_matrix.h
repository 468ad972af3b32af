#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "knlp/core/file.h"
#include "knlp/matrix/plan.h"
#include "knlp/track/manifest.h"
#include "tests/matrix/fake_cell.h"
#include "tests/matrix/sample_plan.h"

namespace knlp::test {

/// The sample plan with a seed for each difference.
inline matrix::Plan plan_of_seeds(size_t n) {
    matrix::Plan plan = sample_plan();
    plan.windows_sha256 = std::string(64, 'b');
    plan.seeds.clear();
    plan.cells.clear();
    for (uint64_t seed = 1; seed <= n; ++seed) {
        plan.seeds.push_back(seed);
        for (const matrix::Arm& arm : plan.arms) {
            matrix::Cell cell{.index = static_cast<int64_t>(plan.cells.size()),
                              .id = arm.id + "_s" + std::to_string(seed),
                              .arm = arm.id,
                              .seed = seed,
                              .config_sha256 = std::string(64, 'e'),
                              .imported_from = ""};
            plan.cells.push_back(cell);
        }
    }
    return plan;
}

/// Writes `changes` into the manifest of a run, as another binary or machine would have it.
inline void change_small_manifest(const std::filesystem::path& run, const nlohmann::json& changes) {
    nlohmann::json manifest = track::read_manifest(run);
    manifest.merge_patch(changes);
    std::ofstream(run / "manifest.json") << manifest.dump(2) << "\n";
}

/// <results>/matrix/lr, all cells done: the baseline at loss 3, the other arm at 3 + d.
inline std::filesystem::path write_small_matrix(const std::filesystem::path& results,
                                                const std::vector<double>& d) {
    const std::filesystem::path directory = results / "matrix" / "lr";
    std::filesystem::create_directories(directory / "cells");
    matrix::Plan plan = plan_of_seeds(d.size());
    write_file_atomic(directory / matrix::kPlanFile, matrix::plan_text(plan));
    std::ofstream(directory / matrix::kBaseConfigFile) << "CONFIG_SEED=1\n";
    for (const matrix::Cell& cell : plan.cells) {
        const bool baseline = cell.arm == plan.baseline;
        const std::filesystem::path run =
            write_fake_cell(matrix::cell_directory(directory, cell),
                            {.seed = cell.seed, .loss = baseline ? 3.0 : 3.0 + d[cell.seed - 1]});
        change_small_manifest(run, {{"experiment_sha256", cell.config_sha256},
                                    {"binary_sha256", std::string(64, 'b')},
                                    {"git_commit", "0123456789ab"},
                                    {"git_dirty", false}});
    }
    return directory;
}

inline const std::vector<double> kBetterBy = {-0.50, -0.51, -0.49, -0.52, -0.48};

}  // namespace knlp::test
