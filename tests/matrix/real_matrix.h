#pragma once

#include "knlp/config/symbols.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/data/batches.h"
#include "knlp/matrix/plan.h"
#include "knlp/track/run_dir.h"
#include "tests/support/run_binary.h"
#include "tests/train/tiny_run.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace knlp::test {

/// A planned matrix of one-layer models on a small Markov text: two learning rates, two seeds.
struct RealMatrix {
    TinyRuns runs;
    matrix::Plan plan{.name = "m", .created = "2026-01-01T00:00:00Z", .version = "1"};

    explicit RealMatrix(const Values& changes = {}) {
        namespace fs = std::filesystem;
        const std::string text = config::Symbols::from_values(runs.values(changes)).dot_config();
        fs::create_directories(path());
        write_file_atomic(config(), text);
        plan.config_sha256 = sha256_hex(text);
        add_binary();
        add_arms();
        for (const char* role : {"train", "val"})
            plan.data.push_back({role, sha256_file(runs.data() / (std::string(role) + ".bin"))});
        const auto tokens = static_cast<int64_t>(fs::file_size(runs.data() / "val.bin")) / 2;
        plan.windows_sha256 = data::eval_windows_sha256(data::eval_window_starts(tokens, 16, 256),
                                                        16, plan.data[1].sha256);
        plan.baseline = plan.arms[0].id;
        plan.budget = {"iterations", static_cast<double>(steps(changes))};
        plan.device = "cpu";
        plan.effective_batch = 6;
        write_plan();
    }
    std::filesystem::path path() const { return runs.run("m"); }
    std::filesystem::path config() const { return path() / matrix::kBaseConfigFile; }
    std::filesystem::path cell(size_t index) const {
        return matrix::cell_directory(path(), plan.cells[index]);
    }
    void write_plan() { write_file_atomic(path() / matrix::kPlanFile, matrix::plan_text(plan)); }

    /// Starts `knlp matrix …`; its output goes to a file "out" beside the matrix.
    pid_t start(const std::vector<std::string>& words) const {
        std::vector<std::string> command = {knlp_binary().string(), "matrix"};
        command.insert(command.end(), words.begin(), words.end());
        const pid_t child = ::fork();
        if (child != 0) return child;
        const int out = ::open(runs.run("out").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
        ::dup2(out, 1);
        ::dup2(out, 2);
        for (const auto& [name, value] : clean_environment({}))
            value.empty() ? ::unsetenv(name.c_str()) : ::setenv(name.c_str(), value.c_str(), 1);
        std::vector<char*> argv;
        for (std::string& word : command) argv.push_back(word.data());
        argv.push_back(nullptr);
        if (::chdir(runs.path().c_str()) != 0) ::_exit(126);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    pid_t start_cell(size_t index, std::vector<std::string> more = {}) const {
        std::vector<std::string> words = {"run-cell", "m", "--index", std::to_string(index)};
        words.insert(words.end(), more.begin(), more.end());
        return start(words);
    }
    int run_cell(size_t index, const std::vector<std::string>& more = {}) const {
        return end_of(start_cell(index, more));
    }
    static int end_of(pid_t child) {
        int status = 0;
        ::waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    std::string output() const { return read_file(runs.run("out")); }

private:
    static int64_t steps(const Values& changes) {
        const auto found = changes.find("GPT2_MAX_ITERS");
        return found == changes.end() ? 10 : std::stoll(found->second);
    }
    void add_binary() {
        const std::string sha256 = sha256_file(knlp_binary());
        const std::string where = "bin/" + sha256.substr(0, 12);
        std::filesystem::create_directories(path() / where);
        std::error_code other_disk;
        std::filesystem::create_hard_link(knlp_binary(), path() / where / "knlp", other_disk);
        if (other_disk) std::filesystem::copy_file(knlp_binary(), path() / where / "knlp");
        plan.builds = {{.sha256 = sha256, .path = where + "/knlp"}};
        plan.builds[0].build_config_sha256 = sha256_hex("build");
    }
    std::string hash_of(const matrix::Arm& arm, std::optional<uint64_t> seed) const {
        std::vector<config::Symbols::Override> overrides;
        for (const matrix::Setting& setting : arm.settings)
            overrides.push_back({setting.name, setting.value});
        if (seed) overrides.push_back({"SEED", std::to_string(*seed)});
        return config::Symbols::load(config(), overrides).experiment_hash(seed);
    }
    void add_arms() {
        plan.seeds = {1, 2};
        plan.axes = {{"LEARNING_RATE", {}}};
        for (const char* rate : {"1e-2", "3e-3"}) {
            matrix::Arm arm{.id = std::string("lr-") + rate, .labels = {rate}};
            arm.settings = {{"LEARNING_RATE", rate}};
            plan.axes[0].values.push_back({rate, arm.settings});
            arm.build = plan.builds[0].sha256;
            arm.config_sha256 = hash_of(arm, std::nullopt);
            arm.choices = {
                .threads = 1, .isa = name_of(isa()), .gemm = "aten", .micro = 2, .accumulation = 3};
            plan.arms.push_back(arm);
        }
        for (const uint64_t seed : plan.seeds)
            for (const matrix::Arm& arm : plan.arms)
                plan.cells.push_back({.index = std::ssize(plan.cells),
                                      .id = fmt::format("{}_s{}", arm.id, seed),
                                      .arm = arm.id,
                                      .seed = seed,
                                      .config_sha256 = hash_of(arm, seed),
                                      .imported_from = ""});
    }
};

/// The newest checkpoint of a run.
inline std::filesystem::path last_checkpoint(const std::filesystem::path& run) {
    std::filesystem::path last;
    for (const auto& entry : std::filesystem::directory_iterator(run / "checkpoints"))
        if (entry.path().filename().string().starts_with("step-"))
            last = std::max(last, entry.path());
    return last;
}

/// Results of a cell are those of another one's, bit for bit.
inline void expect_same_cell(const std::filesystem::path& a, const std::filesystem::path& b) {
    EXPECT_EQ(events(a), events(b)) << a << " " << b;
    for (const char* name : {"eval_windows.f32", "samples.txt"})
        EXPECT_TRUE(same_bytes(a / name, b / name)) << a << " " << name;
    for (const char* name : {"model.safetensors", "optim.safetensors"})
        EXPECT_TRUE(same_bytes(last_checkpoint(a) / name, last_checkpoint(b) / name))
            << a << " " << name;
}

#define NEEDS_KNLP()                                           \
    if (!std::filesystem::exists(::knlp::test::knlp_binary())) \
    GTEST_SKIP() << "no binary at " << ::knlp::test::knlp_binary() << " (KNLP_BIN)"

}  // namespace knlp::test
