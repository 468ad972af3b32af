#include "bench_session.h"

#include "knlp/app/command.h"
#include "knlp/bench/bench.h"
#include "knlp/bench/step_server.h"
#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/host.h"

#include <CLI/CLI.hpp>

#include <iostream>

namespace knlp::app {
namespace {

/// What can be measured, in the order in which `all` does it.
constexpr const char* kMachine = "machine";
constexpr const char* kBandwidth = "bandwidth";
constexpr const char* kStep = "step";
constexpr const char* kData = "data";
constexpr const char* kTokenizer = "tokenizer";
constexpr const char* kAll = "all";
constexpr const char* kServe = "serve";

struct Options {
    CLI::App* verb = nullptr;
    double learning_rate = 1e-3;
    std::string init_from, size, precision, device, tokens, tokenizer_directory, gemm;
    std::vector<std::string> texts;
    int64_t batch = 0, accumulation = 1, threads = 0, samples = 9, merges = 8192;
    bool breakdown = false;
};
Options options;

bool wanted(const CLI::App& verb, const char* name) {
    return verb.get_name() == name || verb.get_name() == kAll;
}

/// The configuration in force, or the defaults where there is none.
config::Symbols current(const Common& common) {
    return config_path(common).empty()
               ? config::Symbols::from_values({}, config::collect_overrides(common.set))
               : load_symbols(common);
}

bench::StepRequest step_request(const Common& common) {
    const config::Symbols symbols = current(common);
    const config::General general = config::read_general(symbols);
    const config::Train train = config::read_train(symbols);
    bench::StepRequest request;
    request.model =
        options.size.empty() ? config::read_model(symbols) : bench::model_of_size(options.size);
    request.optimizer = config::read_optimizer(symbols);
    request.batch = options.batch > 0 ? options.batch : train.auto_batch ? 1 : train.batch;
    request.accumulation = options.accumulation;
    request.precision = train.precision;
    if (options.precision == "bf16") request.precision = config::Precision::kBfloat16;
    if (options.precision == "fp32") request.precision = config::Precision::kFloat32;
    request.gemm = options.gemm.empty() ? train.gemm : options.gemm;
    request.device = options.device.empty() ? general.device : options.device;
    request.seed = general.seed;
    request.threads = options.threads > 0 ? options.threads : general.num_threads;
    if (request.threads == 0) request.threads = usable_cores();
    request.samples = options.samples;
    request.tokens = options.tokens;
    return request;
}

bench::TokenizerRequest tokenizer_request() {
    bench::TokenizerRequest request;
    request.texts.assign(options.texts.begin(), options.texts.end());
    request.merges = options.merges;
    request.threads = options.threads;
    request.samples = options.samples;
    request.tokenizer = options.tokenizer_directory;
    return request;
}

int serve(const bench::StepRequest& step) {
    bench::serve_steps(
        {.step = step, .learning_rate = options.learning_rate, .init_from = options.init_from},
        std::cin, std::cout);
    return 0;
}

int run(const Common& common) {
    const CLI::App& verb = *options.verb->get_subcommands().front();
    // Before anything is timed: a wrong configuration should not cost a measurement.
    const bench::StepRequest request = step_request(common);
    if (verb.get_name() == kServe) return serve(request);
    const bool breakdown = options.breakdown || verb.get_name() == kAll;
    BenchSession session(common, request.threads, wanted(verb, kMachine) || breakdown);
    if (wanted(verb, kMachine)) session.add_machine(usable_cores());
    if (verb.get_name() == kBandwidth) session.add_bandwidth();
    if (wanted(verb, kStep))
        session.add(bench::bench_step(request, breakdown ? &session.machine() : nullptr));
    if (wanted(verb, kData)) session.add(bench::bench_data(request));
    if (wanted(verb, kTokenizer)) session.add(bench::bench_tokenizer(tokenizer_request()));
    session.write();
    return 0;
}

void add_step_options(CLI::App& app) {
    app.add_option("--size", options.size,
                   "a model of this size instead of the configured one: nano, tiny, 124M, …")
        ->type_name("SIZE");
    app.add_option("--batch", options.batch, "sequences of a micro-batch")
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--accumulation", options.accumulation, "micro-batches of a step")
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--precision", options.precision, "fp32 or bf16")
        ->check(CLI::IsMember({"fp32", "bf16"}));
    app.add_option("--gemm", options.gemm, "route of the matrix products (default: as configured)")
        ->type_name("ROUTE");
    app.add_option("--device", options.device,
                   "auto, cpu, cuda or cuda:N (default: as configured)");
    app.add_option("--tokens", options.tokens, "token file to read (default: random ids)")
        ->type_name("FILE");
}

void add_tokenizer_options(CLI::App& app) {
    app.add_option("--text", options.texts,
                   "text files or directories (default: the kernel documentation)")
        ->type_name("PATH");
    app.add_option("--merges", options.merges, "merges to train")->check(CLI::Range(1, 1 << 20));
    app.add_option("--tokenizer", options.tokenizer_directory,
                   "measure this one instead of training")
        ->type_name("DIR");
}

void add_serve_options(CLI::App& app) {
    app.add_option("--learning-rate", options.learning_rate, "of every step")
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--init-from", options.init_from, "weights to start from (default: the seed)")
        ->type_name("PATH");
}

std::function<int(const Common&)> add_options(CLI::App& app) {
    options = {.verb = &app};
    app.require_subcommand(1);
    app.add_option("--samples", options.samples, "executions that are timed")
        ->check(CLI::Range(1, 1000000));
    app.add_option("--threads", options.threads, "0 = as configured, else all cores")
        ->check(CLI::Range(0, 1024));
    CLI::App& machine = *app.add_subcommand(
        kMachine, "what the processor and the memory give, by number of threads");
    CLI::App& step =
        *app.add_subcommand(kStep, "a training step: tokens/s and where the time goes");
    CLI::App& data = *app.add_subcommand(kData, "loading a micro-batch");
    CLI::App& tokenizer =
        *app.add_subcommand(kTokenizer, "training, encoding and decoding of byte-level BPE");
    app.add_subcommand(kBandwidth, "memory bandwidth: read and copy");
    CLI::App& all = *app.add_subcommand(kAll, "all of them");
    CLI::App& serve_verb = *app.add_subcommand(
        kServe, "training steps when asked on standard input: what make bench-peers drives");
    for (CLI::App* sub : {&machine, &step, &data, &all, &serve_verb}) add_step_options(*sub);
    for (CLI::App* sub : {&tokenizer, &all}) add_tokenizer_options(*sub);
    add_serve_options(serve_verb);
    step.add_flag("--breakdown", options.breakdown,
                  "time, FLOP/s, bytes and share of the roof of each group of operations");
    return run;
}

}  // namespace

extern const Command cmd_bench;
const Command cmd_bench = {
    .name = "bench",
    .summary = "measure this machine: training step, data, tokenizer, memory",
    .needs = "",
    .add_options = add_options,
    .examples =
        "knlp bench step\n"
        "knlp bench step --size 124M --batch 4 --precision bf16 --breakdown\n"
        "knlp bench tokenizer --text FILE --json\n"
        "knlp bench all --out results/bench-NAME.json"};

}  // namespace knlp::app
