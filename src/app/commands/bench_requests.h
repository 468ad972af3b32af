#pragma once

#include "knlp/app/command.h"
#include "knlp/bench/bench.h"
#include "knlp/bench/storage.h"
#include "knlp/bench/train_bench.h"

#include <cstdint>
#include <string>
#include <vector>

namespace knlp::app {

/// The flags of `knlp bench`.
struct BenchOptions {
    double learning_rate = 1e-3;
    std::string init_from, size, precision, device, tokens, tokenizer_directory, gemm, directory;
    std::string run, svg;
    std::vector<std::string> texts;
    int64_t batch = 0, accumulation = 0, n_ctx = 0, threads = 0, samples = 9, merges = 8192,
            steps = 100;
    bool breakdown = false;
};

/// What the flags and the configuration ask for; --run takes the run's own, with the batch, threads
/// and GEMM route it chose.
bench::StepRequest step_request(const Common& common, const BenchOptions& options);
bench::TokenizerRequest tokenizer_request(const BenchOptions& options);
bench::StorageRequest storage_request(const Common& common, const BenchOptions& options);
/// Runs of the configuration with everything on and off, in a directory that is deleted.
bench::Record train_record(const Common& common, const BenchOptions& options);

}  // namespace knlp::app
