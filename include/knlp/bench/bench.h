#pragma once

#include "knlp/bench/record.h"
#include "knlp/config/model.h"
#include "knlp/config/train.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace knlp::bench {

/// A training step as the trainer takes it: load, forward, backward, optimizer, clear.
struct StepRequest {
    config::Model model;  // vocab_size 0: 257
    config::Optimizer optimizer;
    int64_t batch = 16;        // sequences of one micro-batch
    int64_t accumulation = 1;  // micro-batches a step
    config::Precision precision = config::Precision::kFloat32;
    std::string gemm = "auto";
    std::string device = "cpu";  // auto, cpu, cuda, cuda:N
    uint64_t seed = 1;
    int64_t threads = 0;               // 0 = usable cores
    int64_t samples = 9, warm_up = 3;  // steps
    std::filesystem::path tokens;      // token file (uint16); "" = random ids in a temporary file
    int64_t copy_bytes = 0;  // with a roof: the array copied in turns with the steps; 0 = that of
                             // MemoryMeter where the update does not fit into caches, else none
};
/// "step": seconds of one step; results tokens_per_s, data_ms, forward_ms, backward_ms,
/// optimizer_ms (medians), data_share (of the step, waiting for the loader), gflops, and the loss
/// before and after. With a roof every other step is booked by region (core/profile.h), and
/// `details` is the breakdown of src/bench/breakdown.h against it; results products_ms (all
/// products of a step, each alone by its fastest route, measured afterwards) and update_bytes_ms
/// (what the update moves, at the bandwidth of a copy after each step, or at the roof's where
/// nothing is copied), copy_gbps, step_ratio (the step over both) and optimizer_ratio. Without a
/// roof: peak_rss_mib.
Record bench_step(const StepRequest& request, const Machine* roof = nullptr);

/// Error{kRun, "E_MEMORY"} unless what bench_step() and serve_steps() hold will fit: with the three
/// largest terms and the batch that would.
void require_step_memory(const StepRequest& request);

/// A model by the name of its size, without dropout: nano, tiny, 124M, … Error{kUsage} for another.
config::Model model_of_size(const std::string& size);

/// Loading alone: "data.batch", seconds for one micro-batch from the page cache, with results
/// tokens_per_s.
Record bench_data(const StepRequest& request);

struct TokenizerRequest {
    std::vector<std::filesystem::path> texts;  // files or directories (.gz is unpacked); empty =
                                               // the installed kernel documentation
    int64_t merges = 8192;
    int64_t threads = 0;  // of the training; encoding is measured on one
    int64_t samples = 7;
    int64_t max_bytes = int64_t{19} << 20;  // of the text, the rest is left out
    std::filesystem::path tokenizer;        // use this one instead of training
};
/// "bpe.train" (absent with a given tokenizer), "bpe.encode" and "bpe.decode" (one
/// thread, MB/s of source text; first_pass_s: encoding before any word is cached). Error{kData}
/// when no text is found.
std::vector<Record> bench_tokenizer(const TokenizerRequest& request);

}  // namespace knlp::bench
