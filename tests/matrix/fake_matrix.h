#pragma once

#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/matrix/plan.h"
#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace knlp::test {

/// A matrix of two optimizers and two learning rates, its cells written by the functions a training
/// run uses.
struct FakeMatrix {
    int64_t seeds = 5;
    double min_effect = 0.01;
    /// Final validation loss of arm 0 … 3 with this seed.
    std::function<double(size_t arm, uint64_t seed)> loss = [](size_t arm, uint64_t seed) {
        constexpr double kShift[] = {0, -0.05, 0.004, 0.12};
        const double wave = std::sin(static_cast<double>(seed) * 1.7 + static_cast<double>(arm));
        return 3.1 + kShift[arm] + 0.03 * std::cos(static_cast<double>(seed)) + 0.004 * wave;
    };
};

inline matrix::Plan fake_plan(const FakeMatrix& fake) {
    const auto hash = [](char digit) { return std::string(64, digit); };
    matrix::Plan plan{.name = "optimizers", .created = "2026-01-02T03:04:05Z"};
    plan.preset = "gpt2-nano-optimizers";
    plan.version = "1.0";
    plan.git_commit = "0123456789abcdef0123456789abcdef01234567";
    plan.config_sha256 = hash('c');
    plan.axes = {
        {"optimizer",
         {{"adamw", {{"OPTIMIZER", "adamw"}}}, {"adamwspam", {{"OPTIMIZER", "adamwspam"}}}}},
        {"LEARNING_RATE",
         {{"6e-4", {{"LEARNING_RATE", "6e-4"}}}, {"1e-3", {{"LEARNING_RATE", "1e-3"}}}}}};
    for (int64_t s = 1; s <= fake.seeds; ++s) plan.seeds.push_back(static_cast<uint64_t>(s));
    plan.excluded = {{{"sgd", "1e-3"}, "R9", "sgd <needs> another rate & schedule"}};
    plan.builds = {{.sha256 = hash('b'), .path = "bin/bbbbbbbbbbbb/knlp"}};
    plan.builds[0].build_config_sha256 = hash('d');
    plan.builds[0].git_commit = plan.git_commit;
    for (const char* optimizer : {"adamw", "adamwspam"})
        for (const char* rate : {"6e-4", "1e-3"}) {
            matrix::Arm arm{.id = fmt::format("gpt2_{}_learning_rate-{}", optimizer, rate)};
            arm.labels = {optimizer, rate};
            arm.settings = {{"OPTIMIZER", optimizer}, {"LEARNING_RATE", rate}};
            arm.build = hash('b');
            arm.config_sha256 = hash('a');
            arm.choices = {
                .threads = 1, .isa = "avx512", .gemm = "onednn", .micro = 16, .accumulation = 1};
            plan.arms.push_back(arm);
        }
    for (const uint64_t seed : plan.seeds)
        for (const matrix::Arm& arm : plan.arms)
            plan.cells.push_back({.index = std::ssize(plan.cells),
                                  .id = fmt::format("{}_s{}", arm.id, seed),
                                  .arm = arm.id,
                                  .seed = seed,
                                  .config_sha256 = hash('e'),
                                  .imported_from = ""});
    plan.baseline = plan.arms[0].id;
    plan.min_effect = fake.min_effect;
    plan.budget = {"iterations", 600};
    plan.data = {{"train", hash('1')}, {"val", hash('2')}};
    plan.windows_sha256 = hash('f');
    plan.device = "cpu";
    plan.effective_batch = 16;
    return plan;
}

inline void change_json(const std::filesystem::path& file, const char* pointer,
                        const nlohmann::json& value) {
    nlohmann::json whole = read_json(file);
    whole[nlohmann::json::json_pointer(pointer)] = value;
    std::ofstream(file) << whole.dump();
}

/// A finished run of the cell, with curves that end at `loss`.
inline void write_matrix_cell(const std::filesystem::path& matrix, const matrix::Plan& plan,
                              const matrix::Cell& cell, double loss) {
    const std::filesystem::path directory = cell_directory(matrix, cell);
    std::filesystem::create_directories(directory.parent_path());
    const track::RunDir run = track::RunDir::create(matrix, "gpt2", directory);
    const double wall = 100 + static_cast<double>(cell.index % 7);
    {
        track::MetricsLog log(run);
        for (int64_t step = 0; step <= 600; step += 50) {
            const double at = std::exp(-static_cast<double>(step) / 90) - std::exp(-600.0 / 90);
            const double elapsed = wall * static_cast<double>(step) / 600;
            log.append("eval", {{"step", step},
                                {"tokens", step * 2048},
                                {"val_loss", step == 600 ? loss : loss + 2.5 * at},
                                {"val_se", 0.03},
                                {"elapsed_s", elapsed}});
            if (step < 600)
                log.append("train", {{"step", step},
                                     {"tokens", step * 2048},
                                     {"loss", loss + 2.6 * at},
                                     {"lr", 1e-3 * (1 - static_cast<double>(step) / 700)},
                                     {"tokens_per_s", 12000.0},
                                     {"elapsed_s", elapsed},
                                     {"rss_bytes", 300000000}});
        }
        log.append("final", {{"step", 600},
                             {"tokens", 600 * 2048},
                             {"val_loss", loss},
                             {"val_se", 0.03},
                             {"best_val_loss", loss},
                             {"best_step", 600},
                             {"params", 842496},
                             {"wall_s", wall},
                             {"tokens_per_s", 12000.0 + static_cast<double>(cell.index)},
                             {"peak_rss_bytes", 320000000 + 1000000 * cell.index},
                             {"exit", "max_iters"}});
    }
    track::Manifest m;
    m.state = "done";
    m.model = "gpt2";
    m.experiment_sha256 = cell.config_sha256;
    m.device = "cpu";
    m.seeds = {{"seed", cell.seed}};
    m.data.wanted = m.data.name = "linuxdoc";
    m.data.files = {{"train", "data/linuxdoc-byte/train.bin", plan.data[0].sha256, 1000},
                    {"val", "data/linuxdoc-byte/val.bin", plan.data[1].sha256, 100}};
    m.tokenizer = {"byte", std::string(64, 't'), 257};
    m.batch = {16, 16, 1, 1, 128};
    m.batches_sha256 = plan.windows_sha256;
    m.eval_windows = 8;
    m.started = "2026-01-02T03:04:05Z";
    if (std::isfinite(loss)) m.result = {{"final_val_loss", loss}};
    track::write_manifest(run, m);
    const std::filesystem::path manifest = directory / "manifest.json";
    change_json(manifest, "/binary_sha256", plan.arm(cell.arm).build);
    change_json(manifest, "/git_commit", plan.git_commit);
    change_json(manifest, "/git_dirty", false);
    change_json(manifest, "/host", {{"hostname", "node1"}, {"cpu_model", "A CPU"}, {"cores", 2}});
    std::vector<float> windows;
    for (int64_t w = 0; w < 8; ++w)
        windows.push_back(static_cast<float>(loss + 0.1 * (static_cast<double>(w) - 3.5)));
    constexpr int64_t kDocuments[] = {0, 0, 1, 1, 2, 2, 3, 3};
    std::ofstream(run.file("eval_documents.i64"), std::ios::binary)
        .write(reinterpret_cast<const char*>(kDocuments), sizeof kDocuments);
    std::ofstream(run.file("eval_windows.f32"), std::ios::binary)
        .write(reinterpret_cast<const char*>(windows.data()),
               static_cast<std::streamsize>(windows.size() * sizeof(float)));
    track::write_status(run, "done");
}

/// The directory of a matrix whose cells are all done.
inline matrix::Plan write_fake_matrix(const std::filesystem::path& directory,
                                      const FakeMatrix& fake = {}) {
    std::filesystem::create_directories(directory);
    matrix::Plan plan = fake_plan(fake);
    std::ofstream(directory / matrix::kPlanFile) << matrix::plan_text(plan);
    std::ofstream(directory / matrix::kBaseConfigFile)
        << "CONFIG_OPTIMIZER=\"adamw\"\nCONFIG_LEARNING_RATE=\"6e-4\"\n";
    for (const matrix::Cell& cell : plan.cells)
        write_matrix_cell(directory, plan, cell,
                          fake.loss(static_cast<size_t>(cell.index) % plan.arms.size(), cell.seed));
    return plan;
}

/// Writes its state over what a cell came to.
inline void set_cell_state(const std::filesystem::path& matrix, const matrix::Cell& cell,
                           const std::string& state, const std::string& reason) {
    track::write_status(track::RunDir::open(cell_directory(matrix, cell)), state, 4, 0, reason);
}

/// As `knlp matrix rerun` does: the attempt is moved away.
inline void move_attempt_away(const std::filesystem::path& matrix, const matrix::Cell& cell) {
    const std::filesystem::path kept = matrix / "attempts" / cell.id;
    std::filesystem::create_directories(kept);
    std::filesystem::rename(cell_directory(matrix, cell), kept / "attempt.1");
}

}  // namespace knlp::test
