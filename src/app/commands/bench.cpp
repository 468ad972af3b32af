#include "knlp/app/command.h"

#include "knlp/bench/bench.h"
#include "knlp/bench/step_server.h"
#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <iostream>

namespace knlp::app {
namespace {

using nlohmann::json;

struct Options {
    CLI::App *step = nullptr, *data = nullptr, *tokenizer = nullptr, *bandwidth = nullptr, *all = nullptr;
    CLI::App* serve = nullptr;
    double learning_rate = 1e-3;
    std::string init_from, size, precision, device, tokens, tokenizer_directory;
    std::vector<std::string> texts;
    int64_t batch = 0, accumulation = 1, threads = 0, samples = 9, merges = 8192;
};
Options options;

void put(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);                     // a measurement takes a while: show each as it comes
}

/// The configuration in force, or the defaults where there is none.
config::Symbols current(const Common& common) {
    return config_path(common).empty() ? config::Symbols::from_values({}, config::collect_overrides(common.set))
                                       : load_symbols(common);
}

bench::StepRequest step_request(const Common& common) {
    const config::Symbols symbols = current(common);
    const config::General general = config::read_general(symbols);
    const config::Train train = config::read_train(symbols);
    bench::StepRequest request;
    request.model = options.size.empty() ? config::read_model(symbols) : bench::model_of_size(options.size);
    request.optimizer = config::read_optimizer(symbols);
    request.batch = options.batch > 0 ? options.batch : train.auto_batch ? 1 : train.batch;
    request.accumulation = options.accumulation;
    request.precision = train.precision;
    if (options.precision == "bf16") request.precision = config::Precision::kBfloat16;
    if (options.precision == "fp32") request.precision = config::Precision::kFloat32;
    request.gemm = train.gemm;
    request.device = options.device.empty() ? general.device : options.device;
    request.seed = general.seed;
    request.threads = options.threads > 0 ? options.threads : general.num_threads;
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

/// Measures and prints one after the other; keeps the lines for --out.
class Session {
public:
    explicit Session(const Common& common) : common_(common) {
        const int64_t threads = options.threads > 0 ? options.threads : usable_cores();
        log::info("{}", bench::machine_text());
        bandwidth_ = bench::measure_bandwidth(threads);
        if (!common.json)
            put(fmt::format("{:<16} read {:.1f} GB/s, copy {:.1f} GB/s with {} threads over {} MiB\n", "memory",
                            bandwidth_.read_gbps, bandwidth_.copy_gbps, threads, bandwidth_.bytes >> 20));
    }

    void add(const bench::Record& record) {
        json line = bench::to_json(record, bandwidth_);
        put(common_.json ? canonical_json(line) + "\n" : bench::to_text(record));
        // By name, so that a page can point at a figure.
        records_[record.what] = std::move(line);
    }

    /// The bandwidth itself as a record.
    void add_bandwidth() {
        bench::Record record{.what = "memory.read", .shape = {{"bytes", bandwidth_.bytes}},
                             .threads = bandwidth_.threads, .bytes_moved = bandwidth_.bytes,
                             .timing = bandwidth_.read};
        add(record);
        record.what = "memory.copy";
        record.bytes_moved *= 2;
        record.timing = bandwidth_.copy;
        add(record);
    }

    void write() const {
        if (common_.out.empty()) return;
        write_file_atomic(common_.out, pretty_json({{"command", common_.command_line}, {"records", records_}}));
        log::info("written: {}", common_.out);
    }

private:
    const Common& common_;
    bench::Bandwidth bandwidth_;
    json records_ = json::object();
};

int run(const Common& common) {
    const bool all = options.all->parsed();
    const bool step = all || options.step->parsed(), data = all || options.data->parsed();
    // Before anything is timed: a wrong configuration should not cost a measurement.
    const bench::StepRequest request = step_request(common);
    if (options.serve->parsed()) {
        bench::serve_steps({.step = request,
                            .learning_rate = options.learning_rate,
                            .init_from = options.init_from},
                           std::cin, std::cout);
        return 0;
    }
    Session session(common);
    if (all || options.bandwidth->parsed()) session.add_bandwidth();
    if (step) session.add(bench::bench_step(request));
    if (data) session.add(bench::bench_data(request));
    if (all || options.tokenizer->parsed())
        for (const bench::Record& record : bench::bench_tokenizer(tokenizer_request())) session.add(record);
    session.write();
    return 0;
}

void add_step_options(CLI::App& app) {
    app.add_option("--size", options.size, "a model of this size instead of the configured one: nano, tiny, 124M, …")
        ->type_name("SIZE");
    app.add_option("--batch", options.batch, "sequences of a micro-batch")->check(CLI::Range(1, 1 << 20));
    app.add_option("--accumulation", options.accumulation, "micro-batches of a step")->check(CLI::Range(1, 1 << 20));
    app.add_option("--precision", options.precision, "fp32 or bf16")->check(CLI::IsMember({"fp32", "bf16"}));
    app.add_option("--device", options.device, "auto, cpu, cuda or cuda:N (default: as configured)");
    app.add_option("--tokens", options.tokens, "token file to read (default: random ids)")->type_name("FILE");
}

void add_tokenizer_options(CLI::App& app) {
    app.add_option("--text", options.texts, "text files or directories (default: the kernel documentation)")
        ->type_name("PATH");
    app.add_option("--merges", options.merges, "merges to train")->check(CLI::Range(1, 1 << 20));
    app.add_option("--tokenizer", options.tokenizer_directory, "measure this one instead of training")
        ->type_name("DIR");
}

std::function<int(const Common&)> add_options(CLI::App& app) {
    options = {};
    app.require_subcommand(1);
    app.add_option("--samples", options.samples, "executions that are timed")->check(CLI::Range(1, 1000000));
    app.add_option("--threads", options.threads, "0 = as configured, else all cores")->check(CLI::Range(0, 1024));
    options.step = app.add_subcommand("step", "a training step: tokens/s and where the time goes");
    options.data = app.add_subcommand("data", "loading a micro-batch");
    options.tokenizer = app.add_subcommand("tokenizer", "training, encoding and decoding of byte-level BPE");
    options.bandwidth = app.add_subcommand("bandwidth", "memory bandwidth: read and copy");
    options.all = app.add_subcommand("all", "all of them");
    options.serve = app.add_subcommand(
        "serve", "training steps when asked on standard input: what make bench-peers drives");
    options.serve->add_option("--learning-rate", options.learning_rate, "of every step")
        ->check(CLI::Range(0.0, 1.0));
    options.serve
        ->add_option("--init-from", options.init_from, "weights to start from (default: the seed)")
        ->type_name("PATH");
    for (CLI::App* sub : {options.step, options.data, options.all, options.serve})
        add_step_options(*sub);
    for (CLI::App* sub : {options.tokenizer, options.all}) add_tokenizer_options(*sub);
    return run;
}

}  // namespace

extern const Command cmd_bench;
const Command cmd_bench = {
    .name = "bench",
    .summary = "measure this machine: training step, data, tokenizer, memory",
    .needs = "",
    .add_options = add_options,
    .examples = "knlp bench step\n"
                "knlp bench step --size 124M --batch 4 --precision bf16\n"
                "knlp bench tokenizer --text FILE --json\n"
                "knlp bench all --out results/bench-NAME.json"};

}  // namespace knlp::app
