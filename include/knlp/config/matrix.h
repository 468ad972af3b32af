#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace knlp::config {

class Symbols;

/// An axis that a menu of the configuration makes: its values, and the settings each stands for.
struct MenuAxis {
    struct Value {
        std::string label;
        std::vector<std::pair<std::string, std::string>> settings;  // symbol, value
    };
    std::string name;  // "optimizer"
    std::vector<Value> values;
};

/// What a test matrix runs, and how its arms are judged.
struct Matrix {
    std::vector<MenuAxis> menus;        // of the *_MODE_MULTIPLE that are on
    std::string axes;                   // MATRIX_AXES as it is written
    std::vector<uint64_t> seeds;        // as given, none twice
    std::string baseline_arm;           // id; "" = the first
    std::string budget = "iterations";  // tokens flops time
    int64_t jobs = 1;                   // cells at once, 0 = as many as fit
    int64_t max_retries = 1;            // further attempts of a cell that failed
    bool stop_on_failure = false;
    double alpha = 0.05;    // level of tests and intervals, [1e-9, 0.5)
    double min_effect = 0;  // smallest difference that matters, in the metric's unit; 0 = not set
};
/// Error{kConfig} where MATRIX_SEEDS is empty, out of range or has a seed twice, or where a menu of
/// several has none on.
Matrix read_matrix(const Symbols& symbols);

/// Settings with which a run ends after so many iterations, tokens or seconds (`kind` as in
/// Matrix::budget, flops excepted) and for no other reason.
std::vector<std::pair<std::string, std::string>> budget_settings(const std::string& kind,
                                                                 int64_t amount);

/// Seeds of a list such as "4,5": the same checks. `name` is said in messages.
std::vector<uint64_t> read_seeds(const std::vector<int64_t>& numbers, const std::string& name);

}  // namespace knlp::config
