#include "bench_requests.h"

#include "knlp/bench/scratch.h"
#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"

#include <nlohmann/json.hpp>

#include <cctype>
#include <filesystem>

namespace knlp::app {
namespace {

/// The flags of a step's shape win over what `request` has.
void apply(const BenchOptions& options, bench::StepRequest& request) {
    if (!options.size.empty()) request.model = bench::model_of_size(options.size);
    if (options.n_ctx > 0) request.model.n_ctx = options.n_ctx;
    if (options.batch > 0) request.batch = options.batch;
    if (options.accumulation > 0) request.accumulation = options.accumulation;
    if (options.precision == "bf16") request.precision = config::Precision::kBfloat16;
    if (options.precision == "fp32") request.precision = config::Precision::kFloat32;
    if (!options.gemm.empty()) request.gemm = options.gemm;
    if (!options.device.empty()) request.device = options.device;
    if (options.threads > 0) request.threads = options.threads;
    if (request.threads == 0) request.threads = usable_cores();
    request.samples = options.samples;
    request.tokens = options.tokens;
}

bench::StepRequest configured(const Common& common) {
    const config::Symbols symbols = load_symbols_or_defaults(common);
    const config::General general = config::read_general(symbols);
    const config::Train train = config::read_train(symbols);
    return {.model = config::read_model(symbols),
            .optimizer = config::read_optimizer(symbols),
            .batch = train.auto_batch ? 1 : train.batch,
            .precision = train.precision,
            .gemm = train.gemm,
            .device = general.device,
            .seed = general.seed,
            .threads = general.num_threads};
}

/// What the run had, its own choices included.
bench::StepRequest of_run(const Common& common, const std::filesystem::path& run) {
    Common its = common;
    its.config = (run / "config").string();
    bench::StepRequest request = configured(its);
    const std::filesystem::path file = run / "manifest.json";
    try {
        const nlohmann::json manifest = read_json(file);
        request.batch = manifest.at("batch").at("micro");
        request.accumulation = manifest.at("batch").at("accumulation");
        request.threads = manifest.at("threads");
        request.gemm = manifest.at("gemm_route");
        request.device = manifest.at("device");
        request.model.vocab_size = manifest.at("model_config").at("vocab_size");
    } catch (const nlohmann::json::exception& error) {
        fail(kData, "{}: not the manifest of a run: {}", file.string(), error.what());
    }
    return request;
}

/// Where files are written that are measured: the disk that runs are written to.
std::filesystem::path work_directory(const Common& common, const BenchOptions& options) {
    if (!options.directory.empty()) return options.directory;
    const std::filesystem::path output =
        config::read_general(load_symbols_or_defaults(common)).output_dir;
    return std::filesystem::is_directory(output) ? output : std::filesystem::path(".");
}

/// The flags of a step's shape as symbols, so that the trainer obeys them.
std::vector<config::Symbols::Override> step_overrides(const BenchOptions& options,
                                                      const bench::StepRequest& step) {
    const auto upper = [](std::string text) {
        for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        return text;
    };
    std::vector<config::Symbols::Override> set;
    // The published names are digits and M already; ours are lower case.
    if (!options.size.empty())
        set.insert(set.end(),
                   {{"GPT2_MODEL_" + upper(options.size), "y"}, {"GPT2_DROPOUT", "0.0"}});
    if (!options.size.empty() || options.n_ctx > 0)
        set.push_back({"GPT2_BLOCK_SIZE", std::to_string(step.model.n_ctx)});
    if (options.batch > 0 || options.accumulation > 0)
        set.insert(set.end(), {{"HYPER_PARAM_MANUAL", "y"},
                               {"BATCH_SIZE", std::to_string(step.batch)},
                               {"GRADIENT_ACCUMULATION", std::to_string(step.accumulation)}});
    if (options.precision == "fp32") set.push_back({"MIXED_PRECISION", "n"});
    if (options.precision == "bf16")
        set.insert(set.end(), {{"MIXED_PRECISION", "y"}, {"GPT2_AMP_DTYPE", "bfloat16"}});
    if (!options.gemm.empty()) set.push_back({"GEMM_" + upper(options.gemm), "y"});
    if (!options.device.empty()) set.push_back({"DEVICE", options.device});
    return set;
}

}  // namespace

bench::StepRequest step_request(const Common& common, const BenchOptions& options) {
    bench::StepRequest request =
        options.run.empty() ? configured(common) : of_run(common, options.run);
    apply(options, request);
    return request;
}

bench::TokenizerRequest tokenizer_request(const BenchOptions& options) {
    bench::TokenizerRequest request;
    request.texts.assign(options.texts.begin(), options.texts.end());
    request.merges = options.merges;
    request.threads = options.threads;
    request.samples = options.samples;
    request.tokenizer = options.tokenizer_directory;
    return request;
}

bench::StorageRequest storage_request(const Common& common, const BenchOptions& options) {
    const bench::StepRequest step = step_request(common, options);
    return {.model = step.model,
            .optimizer = step.optimizer,
            .seed = step.seed,
            .threads = step.threads,
            .samples = options.samples,
            .directory = work_directory(common, options)};
}

bench::Record train_record(const Common& common, const BenchOptions& options) {
    const bench::StepRequest step = step_request(common, options);
    const int64_t threads = step.threads;
    const bench::Scratch scratch(work_directory(common, options));
    const std::string interval = std::to_string(options.steps), never = "10000000";
    const std::vector<config::Symbols::Override> both = {
        {"OUTPUT_DIR", scratch.path().string()},
        {"GPT2_MAX_ITERS", std::to_string(bench::stretch_end(options.steps))},
        {"GPT2_WARMUP_STEPS", "0"},  // or so short a run is warned about
        {"GPT2_MAX_TOKENS", "0"},
        {"GPT2_MAX_TIME", "0"},
        {"NUM_THREADS", std::to_string(threads)}};
    std::vector<config::Symbols::Override> on = step_overrides(options, step), off;
    on.insert(on.end(), both.begin(), both.end());
    off = on;
    on.insert(on.end(), {{"GPT2_EVAL_INTERVAL", interval},
                         {"CHECKPOINT_INTERVAL", interval},
                         {"SAVE_CHECKPOINT", "y"}});
    off.insert(off.end(), {{"GPT2_EVAL_INTERVAL", never},
                           {"GPT2_LOG_INTERVAL", never},
                           {"SAVE_CHECKPOINT", "n"},
                           {"ENABLE_TENSORBOARD", "n"},
                           {"SYS_MONITOR", "n"}});
    log::set_level(log::Level::kWarning);  // what each run would say of itself
    bench::Record record = bench::bench_train({.on = load_symbols_or_defaults(common, on),
                                               .off = load_symbols_or_defaults(common, off),
                                               .steps = options.steps,
                                               .samples = options.samples,
                                               .directory = scratch.path()});
    log::set_level(common.quiet ? log::Level::kWarning : log::Level::kInfo);
    record.threads = threads;
    return record;
}

}  // namespace knlp::app
