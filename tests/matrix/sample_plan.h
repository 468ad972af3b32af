#pragma once

#include "knlp/matrix/plan.h"

#include <string>

namespace knlp::test {

/// Two learning rates with two seeds, as a planner would write them.
inline matrix::Plan sample_plan() {
    const auto hash = [](char digit) { return std::string(64, digit); };
    matrix::Plan plan{.name = "lr", .created = "2026-11-30T12:00:00Z", .version = "1"};
    plan.config_sha256 = hash('c');
    plan.axes = {{"LEARNING_RATE",
                  {{"6e-4", {{"LEARNING_RATE", "6e-4"}}}, {"1e-3", {{"LEARNING_RATE", "1e-3"}}}}}};
    plan.seeds = {1, 2};
    plan.builds = {{.sha256 = hash('b'), .path = "bin/bbbbbbbbbbbb/knlp"}};
    plan.builds[0].build_config_sha256 = hash('d');
    for (const char* rate : {"6e-4", "1e-3"}) {
        matrix::Arm arm{.id = std::string("gpt2_adamw_learning_rate-") + rate, .labels = {rate}};
        arm.settings = {{"LEARNING_RATE", rate}};
        arm.build = hash('b');
        arm.config_sha256 = hash('a');
        arm.choices = {
            .threads = 1, .isa = "scalar", .gemm = "native", .micro = 4, .accumulation = 1};
        plan.arms.push_back(arm);
    }
    for (const uint64_t seed : plan.seeds)
        for (const matrix::Arm& arm : plan.arms)
            plan.cells.push_back({.index = static_cast<int64_t>(plan.cells.size()),
                                  .id = arm.id + "_s" + std::to_string(seed),
                                  .arm = arm.id,
                                  .seed = seed,
                                  .config_sha256 = hash('e'),
                                  .imported_from = ""});
    plan.baseline = plan.arms[0].id;
    plan.budget = {"iterations", 20};
    plan.data = {{"train", hash('1')}, {"val", hash('2')}};
    plan.windows_sha256 = hash('f');
    plan.device = "cpu";
    plan.effective_batch = 4;
    return plan;
}

}  // namespace knlp::test
