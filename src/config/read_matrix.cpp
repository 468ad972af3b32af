#include "knlp/config/matrix.h"

#include "knlp/config/symbols.h"
#include "knlp/core/error.h"

#include <algorithm>
#include <cstdint>

namespace knlp::config {
namespace {

MenuAxis read_optimizers(const Symbols& symbols) {
    MenuAxis axis{.name = "optimizer", .values = {}};
    if (symbols.on("OPTIMIZER_ENABLE_ADAMW"))
        axis.values.push_back(
            {"adamw", {{"OPTIMIZER_MODE_SINGLE", "y"}, {"OPTIMIZER_SELECT_ADAMW", "y"}}});
    if (symbols.on("OPTIMIZER_ENABLE_ADAMWSPAM"))
        axis.values.push_back(
            {"adamw_spam", {{"OPTIMIZER_MODE_SINGLE", "y"}, {"OPTIMIZER_SELECT_ADAMWSPAM", "y"}}});
    if (axis.values.empty())
        fail_code(kConfig, "E_CHOICE",
                  "OPTIMIZER_MODE_MULTIPLE=y, but no optimizer is on; set OPTIMIZER_ENABLE_ADAMW=y "
                  "or another, or OPTIMIZER_MODE_SINGLE=y");
    return axis;
}

}  // namespace

std::vector<uint64_t> read_seeds(const std::vector<int64_t>& numbers, const std::string& name) {
    if (numbers.empty())
        fail_code(kConfig, "E_RANGE", "{} is empty; give seeds such as 1,2,3", name);
    std::vector<uint64_t> seeds;
    for (const int64_t number : numbers) {
        if (number < 0 || number > INT32_MAX)
            fail_code(kConfig, "E_RANGE", "{}: seed {} is outside 0..{}", name, number, INT32_MAX);
        const auto seed = static_cast<uint64_t>(number);
        if (std::find(seeds.begin(), seeds.end(), seed) != seeds.end())
            fail_code(kConfig, "E_RANGE",
                      "{}: seed {} is there twice; a run repeated with one seed says nothing new",
                      name, seed);
        seeds.push_back(seed);
    }
    return seeds;
}

std::vector<std::pair<std::string, std::string>> budget_settings(const std::string& kind,
                                                                 int64_t amount) {
    const auto value = [&](const char* of) { return std::to_string(kind == of ? amount : 0); };
    return {{"GPT2_MAX_ITERS", value("iterations")},
            {"GPT2_MAX_TOKENS", value("tokens")},
            {"GPT2_MAX_TIME", value("time")}};
}

Matrix read_matrix(const Symbols& symbols) {
    Matrix m;
    if (symbols.on("OPTIMIZER_MODE_MULTIPLE")) m.menus.push_back(read_optimizers(symbols));
    m.axes = symbols.text("MATRIX_AXES");
    m.seeds = read_seeds(symbols.integers("MATRIX_SEEDS"), "MATRIX_SEEDS");
    m.baseline_arm = symbols.text("MATRIX_BASELINE_ARM");
    m.budget = symbols.on("MATRIX_BUDGET_TOKENS")  ? "tokens"
               : symbols.on("MATRIX_BUDGET_FLOPS") ? "flops"
               : symbols.on("MATRIX_BUDGET_TIME")  ? "time"
                                                   : "iterations";
    m.jobs = symbols.integer("PARALLEL_JOBS");
    m.max_retries = symbols.integer("MATRIX_MAX_RETRIES");
    m.stop_on_failure = symbols.on("MATRIX_STOP_ON_FAILURE");
    m.alpha = symbols.real("MATRIX_ALPHA", {.min = 1e-9, .below = 0.5});
    m.min_effect = symbols.real("MATRIX_MIN_EFFECT", {.min = 0.0, .max = 1e6});
    return m;
}

}  // namespace knlp::config
