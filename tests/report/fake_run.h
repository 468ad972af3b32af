#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"

namespace knlp::test {

/// A run directory with known numbers, written by the same functions a training run uses.
struct FakeRun {
    int64_t steps = 600, log_every = 10, eval_every = 100;
    std::string substitute;  // what stands in, "" = the wanted data
    bool synthetic = false;
    std::string state = "done";
    std::string sample = "The scheduler is called from the interrupt handler.\n";
};

/// Loss of training step s: falls from about 5.55 to 2.05, with a deterministic ripple.
inline double fake_loss(int64_t step) {
    const double s = static_cast<double>(step);
    return 2.0 + 3.55 * std::exp(-s / 110.0) + 0.06 * std::sin(s * 0.37) * std::cos(s * 0.011);
}
inline double fake_val_loss(int64_t step) {
    return 2.06 + 3.49 * std::exp(-static_cast<double>(step) / 108.0);
}
inline double fake_lr(int64_t step) {
    if (step < 50) return 1e-3 * static_cast<double>(step + 1) / 50.0;
    const double p = static_cast<double>(step - 50) / 550.0;
    return 1e-4 + 0.5 * 9e-4 * (1 + std::cos(3.14159265358979 * p));
}

inline void write_events(const track::RunDir& run, const FakeRun& fake) {
    track::MetricsLog log(run);
    for (int64_t step = 0; step <= fake.steps; ++step) {
        if (step % fake.eval_every == 0 && fake.steps > 0)
            log.append("eval", {{"step", step},
                                {"tokens", step * 2048},
                                {"train_loss", fake_val_loss(step) - 0.05},
                                {"val_loss", fake_val_loss(step)},
                                {"val_ppl", std::exp(fake_val_loss(step))},
                                {"val_se", 0.03 + 0.00005 * static_cast<double>(step)},
                                {"batches_sha256", std::string(64, 'b')}});
        if (step < fake.steps && step % fake.log_every == 0)
            log.append("train", {{"step", step},
                                 {"loss", fake_loss(step)},
                                 {"lr", fake_lr(step)},
                                 {"grad_norm", 0.5 + 1.0 / static_cast<double>(step + 1)},
                                 {"clip", 1.0},
                                 {"tokens", step * 2048},
                                 {"tokens_per_s",
                                  5600.0 + 300.0 * std::sin(static_cast<double>(step) * 0.21)},
                                 {"rss_bytes", 300000000 + step * 20000}});
    }
}

inline void write_settings(const track::RunDir& run) {
    nlohmann::json settings;
    const auto set = [&](const char* name, const char* value, const char* origin) {
        settings[name] = {{"value", value}, {"type", "string"}, {"origin", origin}};
    };
    set("SEED", "1", "default");
    set("ZEBRA_LAST", "12", "cli");
    set("GPT2_MAX_ITERS", "600", "dotconfig");
    set("GPT2_LEARNING_RATE", "1e-3", "dotconfig");
    set("DEVICE", "auto", "default");
    std::ofstream(run.file("config.resolved.json")) << settings.dump();
}

inline track::Manifest fake_manifest(const FakeRun& fake) {
    track::Manifest m;
    m.state = fake.state;
    m.command_line = "./knlp train --config .config --set ZEBRA_LAST=12";
    m.preset = "gpt2-nano-cpu";
    m.model = "gpt2";
    m.optimizer = "adamw";
    m.config_sha256 = std::string(64, 'c');
    m.device = "cpu";
    m.precision = "fp32";
    m.gemm_route = "onednn";
    m.torch_version = "2.11.0";
    m.threads = 2;
    m.seeds = {{"seed", 1}};
    m.data.wanted = fake.substitute.empty() ? "linuxdoc" : "finewebedu";
    m.data.name = "linuxdoc";
    m.data.directory = "data/linuxdoc-byte";
    m.data.substitute = fake.substitute;
    m.data.synthetic = fake.synthetic;
    m.data.files = {{"train", "data/linuxdoc-byte/train.bin", std::string(64, '1'), 34000000},
                    {"val", "data/linuxdoc-byte/val.bin", std::string(64, '2'), 3800000}};
    m.data.train_tokens = 17000000;
    m.data.val_tokens = 1900000;
    m.tokenizer = {"byte", std::string(64, 't'), 257};
    m.parameters.total = 842496;
    m.parameters.trainable = 842496;
    m.batch = {16, 16, 1, 1, 128};
    m.budgets.max_iters = fake.steps;
    m.started = "2026-01-02T03:04:05Z";
    m.ended = fake.state == "done" ? "2026-01-02T03:07:47Z" : "";
    m.batches_sha256 = std::string(64, 'b');
    return m;
}

/// Writes the run below `parent` and returns its directory.
inline std::filesystem::path write_fake_run(const std::filesystem::path& parent,
                                            const FakeRun& fake = {}) {
    const std::filesystem::path path =
        parent / "results" / "runs" / "20260102T030405Z-gpt2_adamw_none_byte_s1";
    std::filesystem::create_directories(path.parent_path());
    const track::RunDir run = track::RunDir::create(parent / "results", "gpt2", path);
    write_events(run, fake);
    write_settings(run);
    track::write_manifest(run, fake_manifest(fake));
    // The revision of this binary is nothing to compare with.
    nlohmann::json manifest = track::read_manifest(path);
    manifest["git_commit"] = "0123456789ab";
    manifest["git_dirty"] = false;
    std::ofstream(path / "manifest.json") << manifest.dump();
    track::write_status(run, fake.state);
    if (!fake.sample.empty()) std::ofstream(run.file("samples.txt")) << fake.sample;
    if (fake.state == "done") {
        track::Summary s;
        s.final_val_loss = fake_val_loss(fake.steps);
        s.final_val_se = 0.06;
        s.best_val_loss = fake_val_loss(fake.steps);
        s.final_bits_per_byte = fake_val_loss(fake.steps) / std::log(2.0);
        s.best_step = fake.steps;
        s.steps = fake.steps;
        s.tokens = fake.steps * 2048;
        s.parameters = 842496;
        s.total_time_s = 222.4;
        s.tokens_per_s = 5550.0;
        s.peak_rss_bytes = 320000000;
        s.exit = "max_iters";
        track::write_summary(run, s);
    }
    return path;
}

}  // namespace knlp::test
