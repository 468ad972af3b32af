#pragma once

#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace knlp::test {

/// A run directory of one cell, written by the functions a training run uses.
struct FakeCell {
    uint64_t seed = 1;
    double loss = 3;
    std::string state = "done", reason;
    std::string train_sha256 = std::string(64, '1'), windows_sha256 = std::string(64, 'b');
    std::vector<float> windows;
    std::string experiment_sha256;
    std::string code;  // of a failure
};

inline std::filesystem::path write_fake_cell(const std::filesystem::path& directory,
                                             const FakeCell& cell) {
    const track::RunDir run = track::RunDir::create(directory.parent_path(), "gpt2", directory);
    track::Manifest m;
    m.state = cell.state;
    m.seeds = {{"seed", cell.seed}};
    m.data.files = {{"train", "data/train.bin", cell.train_sha256, 1000},
                    {"val", "data/val.bin", std::string(64, '2'), 100}};
    m.tokenizer = {"byte", std::string(64, 't'), 257};
    m.batches_sha256 = cell.windows_sha256;
    m.experiment_sha256 = cell.experiment_sha256;
    m.eval_windows = static_cast<int64_t>(cell.windows.size());
    track::write_manifest(run, m);
    {
        track::MetricsLog log(run);
        log.append("eval", {{"step", 10}, {"val_loss", 9.0}});
        if (cell.state == "done") log.append("final", {{"step", 20}, {"val_loss", cell.loss}});
    }
    if (!cell.windows.empty())
        std::ofstream(run.file("eval_windows.f32"), std::ios::binary)
            .write(reinterpret_cast<const char*>(cell.windows.data()),
                   static_cast<std::streamsize>(cell.windows.size() * sizeof(float)));
    track::write_status(run, cell.state, 0, 0, cell.reason, cell.code);
    return directory;
}

}  // namespace knlp::test
