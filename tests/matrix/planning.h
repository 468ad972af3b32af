#pragma once

#include "knlp/matrix/planner.h"

#include "src/matrix/cell_config.h"

#include "tests/train/tiny_run.h"

#include <filesystem>
#include <string>

namespace knlp::test {

/// Two learning rates: two arms.
const Values kRates = {{"MATRIX_AXES", "LEARNING_RATE=1e-2|3e-2"}};

/// Plans of one-layer models on a small text, and their directories.
class Planning : public testing::Test {
protected:
    config::Symbols base(const Values& changes) const {
        Values all = {{"MATRIX_SEEDS", "1,2"}};
        for (const auto& [name, value] : changes) all[name] = value;
        return config::Symbols::from_values(runs_.values(all));
    }
    matrix::Plan plan(const Values& changes, matrix::PlanRequest request = {}) const {
        if (request.name.empty()) request.name = "test";
        return matrix::make_plan(base(changes), request);
    }
    std::filesystem::path directory(const std::string& name) const {
        return runs_.run("results") / "matrix" / name;
    }

    matrix::Plan written(const std::string& name, const Values& changes) const {
        const config::Symbols symbols = base(changes);
        matrix::Plan made = matrix::make_plan(symbols, {.name = name});
        std::filesystem::create_directories(directory(name));
        matrix::write_plan(directory(name), runs_.run("results"), made, symbols, "/proc/self/exe");
        return made;
    }
    void run(const std::string& name, const matrix::Plan& planned, const matrix::Cell& cell) const {
        config::Symbols symbols = matrix::cell_symbols(directory(name), planned, cell);
        train::TrainRequest request;
        request.out = matrix::cell_directory(directory(name), cell);
        request.choices = planned.arm(cell.arm).choices;
        request.device_kind = planned.device;
        EXPECT_EQ(train::run_training(symbols, request).status, 0);
    }

    TinyRuns runs_;
};

}  // namespace knlp::test
