#pragma once

#include "knlp/config/symbols.h"
#include "knlp/core/file.h"
#include "knlp/core/signals.h"
#include "knlp/data/prepare.h"
#include "knlp/track/run_dir.h"
#include "knlp/train/checkpoint.h"
#include "knlp/train/trainer.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace knlp::test {

using Values = std::map<std::string, std::string>;

/// A directory with a small Markov text, and runs of a one-layer model on it.
class TinyRuns {
public:
    TinyRuns() {
        clear_stop();
        data::make_synthetic("markov", 20000, 1, {.name = "tiny"}, data());
    }
    std::filesystem::path data() const { return directory_.file("data"); }
    std::filesystem::path run(const std::string& name) const { return directory_.file(name); }
    const std::filesystem::path& path() const { return directory_.path(); }

    /// One layer, width 16, context 16; dropout and accumulation on. An empty change removes a
    /// value.
    Values values(const Values& changes = {}) const {
        Values all = {{"GPT2_MODEL_CUSTOM", "y"},
                      {"GPT2_N_LAYER", "1"},
                      {"GPT2_N_HEAD", "2"},
                      {"GPT2_N_EMBD", "16"},
                      {"GPT2_BLOCK_SIZE", "16"},
                      {"GPT2_DROPOUT", "0.1"},
                      {"GPT2_TOKENIZER_BYTE", "y"},
                      {"GPT2_DATASET_CUSTOM", "y"},
                      {"GPT2_CUSTOM_DATASET_PATH", data().string()},
                      {"GPT2_EVAL_TOKENS", "256"},
                      {"GPT2_MAX_ITERS", "10"},
                      {"GPT2_EVAL_INTERVAL", "4"},
                      {"GPT2_LOG_INTERVAL", "3"},
                      {"CHECKPOINT_INTERVAL", "3"},
                      {"BATCH_SIZE", "2"},
                      {"GRADIENT_ACCUMULATION", "3"},
                      {"NUM_THREADS", "1"},
                      {"GPT2_WARMUP_STEPS", "2"},
                      {"LEARNING_RATE", "1e-2"},
                      {"GPT2_GENERATION_MAX_TOKENS", "8"},
                      {"GEMM_ATEN", "y"},
                      {"OUTPUT_DIR", directory_.file("results").string()},
                      {"DATA_DIR", directory_.file("prepared").string()}};
        for (const auto& [name, value] : changes)
            value.empty() ? (void)all.erase(name) : (void)(all[name] = value);
        return all;
    }

    train::TrainOutcome train(const std::string& name, const Values& changes = {},
                              train::TrainRequest request = {}) const {
        config::Symbols symbols = config::Symbols::from_values(values(changes));
        request.out = run(name);
        return train::run_training(symbols, request);
    }

    /// Goes on with a run under its own configuration, overridden by `changes`.
    train::TrainOutcome resume(const std::string& name, const Values& changes = {},
                               train::TrainRequest request = {}) const {
        std::vector<config::Symbols::Override> overrides;
        for (const auto& [symbol, value] : changes) overrides.push_back({symbol, value});
        config::Symbols symbols = config::Symbols::load(run(name) / "config", overrides);
        request.resume = run(name);
        return train::run_training(symbols, request);
    }

    /// Trains and stops by a signal before micro-batch `micro` of step `step`.
    int train_until(const std::string& name, int64_t step, int64_t micro,
                    const Values& changes = {}, int signal = 15) const {
        const int status = train(name, changes, stopping(step, micro, signal)).status;
        clear_stop();
        return status;
    }
    int resume_until(const std::string& name, int64_t step, int64_t micro, int signal = 15) const {
        const int status = resume(name, {}, stopping(step, micro, signal)).status;
        clear_stop();
        return status;
    }

private:
    static train::TrainRequest stopping(int64_t step, int64_t micro, int signal) {
        train::TrainRequest request;
        request.on_micro_batch = [step, micro, signal](int64_t at_step, int64_t at_micro) {
            if (at_step == step && at_micro == micro) request_stop(signal);
        };
        return request;
    }
    TempDir directory_;
};

/// Events of a kind, without the fields that depend on the clock.
inline std::vector<nlohmann::json> events(const std::filesystem::path& run,
                                          const std::string& kind = "") {
    std::vector<nlohmann::json> found;
    for (nlohmann::json event : track::read_metrics(run)) {
        if (!kind.empty() && event.value("event", "") != kind) continue;
        for (const std::string& field : track::time_fields()) event.erase(field);
        found.push_back(std::move(event));
    }
    return found;
}

/// Not compared with EXPECT_EQ, which would print both files.
inline bool same_bytes(const std::filesystem::path& a, const std::filesystem::path& b) {
    return read_file(a) == read_file(b);
}

inline std::string bytes_of(const std::filesystem::path& path) {
    return read_file(path);
}

inline std::filesystem::path newest(const std::filesystem::path& run) {
    return train::list_checkpoints(run).back().path;
}

/// All but the kind of event that says what a resume changed.
inline std::vector<nlohmann::json> without_warnings(std::vector<nlohmann::json> all) {
    std::erase_if(all, [](const nlohmann::json& event) { return event["event"] == "warn"; });
    return all;
}

/// What resuming promises: the events, and the files byte by byte.
inline void expect_same_run(const std::filesystem::path& straight,
                            const std::filesystem::path& resumed, bool warned = false) {
    EXPECT_EQ(events(straight), warned ? without_warnings(events(resumed)) : events(resumed));
    for (const char* name : {"model.safetensors", "optim.safetensors"})
        EXPECT_TRUE(same_bytes(newest(straight) / name, newest(resumed) / name)) << name;
    for (const char* name : {"eval_windows.f32", "samples.txt"})
        EXPECT_TRUE(same_bytes(straight / name, resumed / name)) << name;
}

}  // namespace knlp::test
