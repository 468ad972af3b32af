#pragma once

#include "knlp/track/run_dir.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace knlp::track {

/// What the trainer knows about a run; write_manifest adds what it finds out itself: binary and its
/// SHA-256, revision, build symbols, library versions, host, CPU, GPUs, driver, ISA. A number that
/// is not known stays nullopt and a text "", and both become null in the file: nothing is invented.
///
/// Use: fill, write_manifest(run, m) before the first step (state "running"); at the end set state,
/// ended, the measured fields and the result, and write again: the file is replaced atomically. On
/// resume do the same: `started`, the warnings and the attempts so far are taken over from the file
/// already there. Each attempt has its own start, end and exit status; one that was killed has no
/// end. A write without an end after one with an end begins another attempt.
struct Manifest {
    struct File {
        std::string role;  // train, val, source, tokenizer
        std::string path, sha256;
        std::optional<int64_t> bytes;
    };
    struct Data {
        std::string wanted, name, directory;
        std::string substitute;  // why and what stands in; "" = the wanted data
        bool synthetic = false;
        std::optional<double> entropy_nats;  // known entropy of synthetic text
        std::string package_version;
        std::vector<File> files;
        std::optional<int64_t> train_tokens, val_tokens;
    };
    struct Tokenizer {
        std::string kind, sha256;
        std::optional<int64_t> vocab_size;
    };
    struct Parameters {
        std::optional<int64_t> total, trainable;
        std::map<std::string, int64_t> modules;  // "h.0.attn" -> count
    };
    struct Batch {  // effective = micro * accumulation * world_size, in sequences
        std::optional<int64_t> effective, micro, accumulation;
        int64_t world_size = 1;
        std::optional<int64_t> n_ctx;
    };
    struct Budgets {  // nullopt = not set
        std::optional<int64_t> max_iters, max_tokens;
        std::optional<double> max_time_s;
    };
    struct Parent {
        std::string kind, path, sha256;  // kind: init_from, resume, baseline
    };
    struct Change {
        std::string name;                        // of a symbol
        std::optional<std::string> before, now;  // nullopt = switched off
    };
    /// What the route of matrix products was chosen by.
    struct GemmTiming {
        std::string route;                                             // the choice then
        std::vector<std::array<int64_t, 3>> shapes;                    // [M, N, K] that were timed
        std::map<std::string, std::map<std::string, double>> seconds;  // of a place, by a route
    };
    struct Attempt {  // where this attempt went on, and what it changed in the run
        int64_t from_step = 0;
        std::vector<Change> changed_symbols;
        std::vector<File> replaced_data;  // the token files before
    };

    std::string state = "running";     // running done failed preempted
    std::string command_line, preset;  // preset: name of the defconfig
    std::string model, optimizer;      // names of table rows
    std::string config_sha256;         // Symbols::hash()
    std::string experiment_sha256;     // Symbols::experiment_hash() with the seed
    std::string device, precision, gemm_route, torch_version;
    std::optional<bool> bf16_dot_products;  // nullopt: the CPU multiplies no bfloat16
    GemmTiming gemm_timing;  // no seconds: not timed in this attempt, and the file's is kept
    std::optional<int64_t> threads;
    std::map<std::string, uint64_t> seeds;  // "seed" at least
    Data data;
    Tokenizer tokenizer;
    Parameters parameters;
    Batch batch;
    Budgets budgets;
    /// Of a new run: name of each parameter -> its shape and the XXH3-64 of its first values. Empty
    /// on resume, when the file's are kept.
    std::map<std::string, std::string> first_weights;
    std::vector<Parent> parents;
    std::vector<std::string> warnings;
    Attempt attempt;
    std::string started, ended;  // UTC; started "" = now, or what the file says
    std::optional<double> wall_s, startup_s, tokens_per_s, energy_j;
    std::optional<int64_t> peak_rss_bytes, peak_gpu_bytes;
    std::string batches_sha256;                               // of the evaluation windows
    std::optional<int64_t> eval_windows, eval_window_tokens;  // shape of eval_windows.f32
    std::map<std::string, double> result;  // "final_val_loss", …; empty while running
    std::optional<int> exit_code;
};

/// Writes manifest.json of `run` atomically.
void write_manifest(const RunDir& run, const Manifest& manifest);

/// manifest.json of a run directory. Error{kData} when absent or damaged.
nlohmann::json read_manifest(const std::filesystem::path& run_directory);

/// summary.json: the outcome in one small file.
struct Summary {
    std::optional<double> final_train_loss, final_val_loss, final_val_se,
        best_val_loss;  // nats per token
    std::optional<double> final_bits_per_byte;
    std::optional<int64_t> best_step;
    int64_t steps = 0, tokens = 0, parameters = 0;
    double total_time_s = 0;             // wall time of all attempts
    double train_time_s = 0;             // of it, in steps
    double eval_time_s = 0;              // of it, forward passes of evaluation windows
    double save_time_s = 0;              // of it, training held up by checkpoints
    std::optional<double> startup_s;     // process start to step 1, evaluation not counted
    std::optional<double> tokens_per_s;  // median of the logged steps
    std::optional<int64_t> peak_rss_bytes, peak_rss_outside_saves_bytes;
    std::string exit;  // max_iters max_tokens max_time signal diverged
};

/// Writes summary.json atomically: the fields above (total_time, train_time, eval_time, save_time
/// in seconds), final_val_perplexity and best_val_perplexity = exp(min(loss, 20)), and
/// final_accuracy, best_accuracy, final_sparsity as null.
void write_summary(const RunDir& run, const Summary& summary);

}  // namespace knlp::track
