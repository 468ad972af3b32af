#include "bench_inference.h"
#include "bench_requests.h"
#include "bench_session.h"

#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/bench/gemm_rates.h"
#include "knlp/bench/step_server.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/report/report.h"

#include <nlohmann/json.hpp>

#include <signal.h>

#include <iostream>

namespace knlp::app {
namespace {

/// What can be measured, in the order in which `all` does it.
constexpr const char* kMachine = "machine";
constexpr const char* kBandwidth = "bandwidth";
constexpr const char* kStep = "step";
constexpr const char* kTrain = "train";
constexpr const char* kDecode = "decode";
constexpr const char* kPrefill = "prefill";
constexpr const char* kData = "data";
constexpr const char* kLoad = "load";
constexpr const char* kCheckpoint = "checkpoint";
constexpr const char* kTokenizer = "tokenizer";
constexpr const char* kAll = "all";
constexpr const char* kServe = "serve";

BenchOptions options;
InferenceFlags inference;

bool wanted(const std::string& benchmark, const char* name) {
    return benchmark == name || benchmark == kAll;
}

int serve(const bench::StepRequest& step) {
    // It waits for requests: a signal must end it there.
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) ::signal(signal, SIG_DFL);
    bench::serve_steps(
        {.step = step, .learning_rate = options.learning_rate, .init_from = options.init_from},
        std::cin, std::cout);
    return 0;
}

/// --run and --svg are of no use without one.
bool wants_breakdown(const std::string& benchmark) {
    return options.breakdown || !options.run.empty() || !options.svg.empty() || benchmark == kAll;
}

/// Puts the breakdown of a step where --svg and --run want it.
void keep(const nlohmann::json& record) {
    if (!options.svg.empty()) {
        write_file_atomic(options.svg, report::breakdown_svg(record.at("details")));
        log::info("written: {}", options.svg);
    }
    if (options.run.empty()) return;
    const std::filesystem::path run = options.run;
    write_file_atomic(run / report::kBreakdownFile, pretty_json(record));
    log::info("written: {}", report::write_report(run).string());
}

int run(const Common& common, const std::string& benchmark) {
    if (options.samples < bench::kFewestSamples) {
        log::warn("--samples {}: a median of so few says little; {} are taken", options.samples,
                  bench::kFewestSamples);
        options.samples = bench::kFewestSamples;
    }
    // Before anything is timed: a wrong configuration should not cost a measurement.
    const bench::StepRequest request = step_request(common, options);
    const bench::InferenceRequest texts = inference_request(request, options, inference);
    if (wanted(benchmark, kStep) || benchmark == kServe) bench::require_step_memory(request);
    if (wanted(benchmark, kDecode)) bench::require_decode_memory(texts);
    if (wanted(benchmark, kPrefill)) bench::require_prefill_memory(texts);
    if (wanted(benchmark, kLoad)) bench::require_load_memory(storage_request(common, options));
    if (wanted(benchmark, kCheckpoint))
        bench::require_checkpoint_memory(storage_request(common, options));
    if (common.dry_run) {
        log::info("would measure {} with {} threads{}; nothing was run or written", benchmark,
                  request.threads > 0 ? request.threads : usable_cores(),
                  common.out.empty() ? "" : fmt::format(" and write {}", common.out));
        return 0;
    }
    if (benchmark == kServe) return serve(request);
    const bool breakdown = wants_breakdown(benchmark);
    BenchSession session(common, request.threads, wanted(benchmark, kMachine) || breakdown);
    if (wanted(benchmark, kMachine)) {
        session.add_machine(usable_cores());
        session.add(bench::bench_gemm(request));
    }
    if (benchmark == kBandwidth) session.add_bandwidth();
    if (wanted(benchmark, kStep))
        keep(session.add(bench::bench_step(request, breakdown ? &session.machine() : nullptr)));
    if (wanted(benchmark, kTrain)) session.add(train_record(common, options));
    if (wanted(benchmark, kDecode)) session.add(bench::bench_decode(texts, session.machine()));
    if (wanted(benchmark, kPrefill)) session.add(bench::bench_prefill(texts));
    if (wanted(benchmark, kData)) session.add(bench::bench_data(request));
    if (wanted(benchmark, kLoad)) session.add(bench::bench_load(storage_request(common, options)));
    if (wanted(benchmark, kCheckpoint))
        session.add(bench::bench_checkpoint(storage_request(common, options)));
    if (wanted(benchmark, kTokenizer))
        session.add(bench::bench_tokenizer(tokenizer_request(options)));
    session.write();
    return 0;
}

void shape_options(Parser verb) {
    verb.add_option("--size", options.size,
                    "a model of this size instead of the configured one: nano, tiny, 124M, …")
        .type_name("SIZE");
    verb.add_option("--n-ctx", options.n_ctx, "tokens of a sequence (default: the model's context)")
        .in_range(1, 1 << 20);
}

void batch_option(Parser verb) {
    verb.add_option("--batch", options.batch, "sequences at once").in_range(1, 1 << 20);
}

void step_options(Parser verb) {
    verb.add_option("--accumulation", options.accumulation, "micro-batches of a step")
        .in_range(1, 1 << 20);
    verb.add_option("--precision", options.precision, "fp32 or bf16 (default: as configured)")
        .one_of({"fp32", "bf16"})
        .type_name("TYPE");
    verb.add_option("--gemm", options.gemm, "route of the matrix products (default: as configured)")
        .type_name("ROUTE");
}

void device_option(Parser verb) {
    verb.add_option("--device", options.device,
                    "auto, cpu, cuda or cuda:N (default: as configured)")
        .type_name("DEVICE");
}

void tokens_option(Parser verb) {
    verb.add_option("--tokens", options.tokens, "token file to read (default: random ids)")
        .type_name("FILE");
}

void breakdown_options(Parser verb) {
    verb.add_option("--run", options.run,
                    "measure this run's configuration; its report then shows the breakdown")
        .type_name("DIR");
    verb.add_option("--svg", options.svg, "write the breakdown as a picture").type_name("FILE");
    verb.add_flag("--breakdown", options.breakdown,
                  "time, FLOP/s, bytes and share of the roof of each group of operations");
}

void context_option(Parser verb) {
    add_context_option(verb, inference);
}
void prompt_option(Parser verb) {
    add_prompt_option(verb, inference);
}
void dtype_option(Parser verb) {
    add_dtype_option(verb, inference);
}

void tokenizer_options(Parser verb) {
    verb.add_option("--text", options.texts,
                    "text files or directories (default: the kernel documentation)")
        .type_name("PATH");
    verb.add_option("--merges", options.merges, "merges to train").in_range(1, 1 << 20);
    verb.add_option("--tokenizer", options.tokenizer_directory,
                    "measure this one instead of training")
        .type_name("DIR");
}

void directory_option(Parser verb) {
    verb.add_option("--dir", options.directory,
                    "write to this directory's disk (default: OUTPUT_DIR)")
        .type_name("DIR");
}

void stretch_option(Parser verb) {
    verb.add_option("--steps", options.steps, "of a run's stretch that is timed")
        .in_range(2, 1000000);
}

void serve_options(Parser verb) {
    verb.add_option("--learning-rate", options.learning_rate, "of every step").in_range(0.0, 1.0);
    verb.add_option("--init-from", options.init_from, "weights to start from (default: the seed)")
        .type_name("PATH");
}

/// A benchmark takes the options that it obeys and no other: one that it ignored would be believed.
struct Benchmark {
    const char *name, *summary;
    std::vector<void (*)(Parser)> options;
};

const Benchmark benchmarks[] = {
    {kMachine,
     "what the processor and the memory give, by number of threads",
     {shape_options, batch_option, step_options}},
    {kStep,
     "a training step: tokens/s and where the time goes",
     {shape_options, batch_option, step_options, device_option, tokens_option, breakdown_options}},
    {kTrain,
     "the trainer: steps/s with logging, evaluation and checkpoints, against without",
     {shape_options, batch_option, step_options, device_option, directory_option, stretch_option}},
    {kDecode,
     "generating one token of each sequence, at several lengths of context",
     {shape_options, batch_option, context_option, dtype_option}},
    {kPrefill,
     "reading a prompt, to the first new token",
     {shape_options, batch_option, prompt_option, dtype_option}},
    {kData, "loading a micro-batch", {shape_options, batch_option, tokens_option}},
    {kLoad, "opening a model's files and a token file", {shape_options, directory_option}},
    {kCheckpoint,
     "saving a run, against a plain write of as many bytes to the same disk",
     {shape_options, directory_option}},
    {kTokenizer, "training, encoding and decoding of byte-level BPE", {tokenizer_options}},
    {kBandwidth, "memory bandwidth: read and copy", {}},
    {kAll,
     "all of them",
     {shape_options, batch_option, step_options, device_option, tokens_option, context_option,
      prompt_option, dtype_option, directory_option, stretch_option, tokenizer_options}},
    {kServe,
     "training steps when asked on standard input: what make bench-peers drives",
     {shape_options, batch_option, step_options, device_option, tokens_option, serve_options}},
};

std::function<int(const Common&)> add_options(Parser verb) {
    options = {};
    inference = {};
    verb.require_subcommand();
    verb.add_option("--samples", options.samples, "executions that are timed, at least 7")
        .in_range(1, 1000000);
    verb.add_option("--threads", options.threads, "0 = as configured, else all cores")
        .in_range(0, 1024);
    for (const Benchmark& benchmark : benchmarks) {
        const Parser sub = verb.add_subcommand(benchmark.name, benchmark.summary);
        for (const auto add : benchmark.options) add(sub);
    }
    return [verb](const Common& common) { return run(common, verb.parsed_subcommand().name()); };
}

}  // namespace

extern const Command cmd_bench;
const Command cmd_bench = {
    .name = "bench",
    .summary = "measure this machine: training, decoding, data, files, memory",
    .needs = "",
    .add_options = add_options,
    .examples =
        "knlp bench step\n"
        "knlp bench step --size 124M --batch 4 --n-ctx 256 --precision bf16 --breakdown\n"
        "knlp bench decode --size 124M --dtype bf16 --batch 8\n"
        "knlp bench tokenizer --text FILE --json\n"
        "knlp bench all --out results/bench-NAME.json"};

}  // namespace knlp::app
