#include "knlp/bench/inference_bench.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/rng.h"
#include "knlp/model/decoder.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/product_trial.h"
#include "knlp/model/runtime.h"

#include <algorithm>
#include <array>

namespace knlp::bench {
namespace {

constexpr int64_t kFewestSamples = 7;

/// A model that only inference sees, with its decoder.
struct Subject {
    model::Gpt2 gpt2;
    model::Decoder decoder;

    explicit Subject(const InferenceRequest& request)
        : gpt2(made(request)), decoder(gpt2, request.bf16) {}

    static model::Gpt2 made(const InferenceRequest& request) {
        model::start_runtime({.threads = request.threads});
        model::Gpt2 gpt2(request.model, at::kCPU);
        model::prepare_weights(gpt2, request.bf16);
        gpt2.initialize(request.seed);
        return gpt2;
    }
};

std::vector<int32_t> random_ids(int64_t n, int64_t vocab_size, uint64_t seed) {
    std::vector<int32_t> ids(static_cast<size_t>(n));
    const Stream stream(seed, "bench/ids");
    for (int64_t i = 0; i < n; ++i)
        ids[static_cast<size_t>(i)] = static_cast<int32_t>(
            stream.below(static_cast<uint64_t>(vocab_size), 0, static_cast<uint64_t>(i)));
    return ids;
}

Record new_record(const InferenceRequest& request, const std::string& what, int64_t batch) {
    return {.what = what,
            .shape = {{"n_layer", request.model.n_layer},
                      {"n_head", request.model.n_head},
                      {"d_model", request.model.d_model},
                      {"vocab_size", request.model.vocab_size},
                      {"batch", batch},
                      {"parameters", model::parameter_count(request.model)}},
            .types = {{"weights", request.bf16 ? "bf16" : "fp32"}, {"cache", "fp32"}},
            .threads = request.threads};
}

/// As if so many slots were filled: all were once, and their values stay.
void set_length(model::KvCache& cache, int64_t n_layer, int64_t length) {
    for (int64_t layer = 0; layer < n_layer; ++layer) cache.layer(layer).length = length;
}

/// Times one token of each of `batch` sequences at every context.
std::vector<Record> decode_records(Subject& subject, const InferenceRequest& request,
                                   int64_t batch) {
    const int64_t longest = std::ranges::max(request.contexts);
    const int64_t vocab_size = request.model.vocab_size;
    const std::vector<model::CacheSpec> specs = model::cache_specs(request.model);
    model::KvCache cache(specs, batch, longest, at::kCPU);
    std::vector<float> logits(static_cast<size_t>(batch * vocab_size));
    if (longest > 1)
        subject.decoder.read(random_ids(batch * (longest - 1), vocab_size, request.seed), batch,
                             cache, nullptr);
    int64_t token_bytes = 0;
    for (const model::CacheSpec& spec : specs) token_bytes += model::cache_bytes_per_token(spec);
    const std::vector<int32_t> ids = random_ids(batch, vocab_size, request.seed + 1);
    std::vector<Record> records;
    for (int64_t context : request.contexts) {
        Record record = new_record(request, "decode.s" + std::to_string(context), batch);
        record.shape["context"] = context;
        record.timing = measure(
            [&] {
                set_length(cache, request.model.n_layer, context - 1);
                subject.decoder.read(ids, batch, cache, logits.data());
            },
            {.warm_up = 2,
             .samples = std::max(kFewestSamples, request.samples),
             .min_sample_s = request.min_sample_s});
        const int64_t kv_bytes = batch * context * token_bytes;
        record.bytes_moved = subject.decoder.weight_bytes() + kv_bytes;
        record.results["tokens_per_s"] = static_cast<double>(batch) / record.timing.median_s;
        record.results["weight_bytes"] = static_cast<double>(subject.decoder.weight_bytes());
        record.results["kv_bytes"] = static_cast<double>(kv_bytes);
        records.push_back(std::move(record));
    }
    return records;
}

/// Slope of the median over the contexts by least squares, seconds a token.
double slope_of(const std::vector<Record>& records) {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (const Record& record : records) {
        const auto context = static_cast<double>(record.shape.at("context"));
        n += 1;
        x += context;
        y += record.timing.median_s;
        xx += context * context;
        xy += context * record.timing.median_s;
    }
    return (n * xy - x * y) / (n * xx - x * x);
}

void check(const InferenceRequest& request, int64_t length) {
    if (request.batch < 1) fail(kUsage, "batch {} is not at least 1", request.batch);
    if (length < 1 || length > request.model.n_ctx)
        fail(kUsage, "{} tokens are outside 1..{}, the model's context", length,
             request.model.n_ctx);
}

}  // namespace

std::vector<Record> bench_decode(const InferenceRequest& request, const Machine& machine) {
    if (request.contexts.empty()) fail(kUsage, "decode: no context to measure at");
    for (int64_t context : request.contexts) check(request, context);
    Subject subject(request);
    std::vector<Record> alone, records;
    if (request.batch > 1) alone = decode_records(subject, request, 1);
    records = decode_records(subject, request, request.batch);
    for (size_t i = 0; i < records.size(); ++i) {
        Record& record = records[i];
        record.results["read_share"] = static_cast<double>(record.bytes_moved) /
                                       record.timing.median_s / 1e9 / machine.memory.read_gbps;
        if (request.batch > 1)
            record.results["times_batch_1"] =
                record.results["tokens_per_s"] / alone[i].results["tokens_per_s"];
    }
    if (records.size() > 1) {
        Record& last = records.back();
        const double bytes =
            last.results["kv_bytes"] / static_cast<double>(last.shape.at("context"));
        last.results["slope_ns"] = 1e9 * slope_of(records);
        last.results["slope_bytes_ns"] = bytes / machine.memory.read_gbps;
    }
    return records;
}

namespace {

/// Seconds of y [m, n] = x [m, k] W^T by the fastest of the routes, which take turns.
double fastest_seconds(int64_t m, int64_t n, int64_t k, bool bf16) {
    std::vector<model::ProductTrial> trials;
    for (const std::string& route : model::product_routes())
        trials.emplace_back(route, model::LayerProduct::kForward, m, n, k, bf16);
    std::vector<std::vector<double>> seconds(trials.size());
    for (model::ProductTrial& trial : trials) trial.run();  // libraries prepare themselves
    for (int64_t round = 0; round < kFewestSamples; ++round)
        for (size_t i = 0; i < trials.size(); ++i) {
            const double begin = steady_seconds();
            trials[i].run();
            seconds[i].push_back(steady_seconds() - begin);
        }
    double fastest = summarize(seconds.front()).median_s;
    for (const std::vector<double>& each : seconds)
        fastest = std::min(fastest, summarize(each).median_s);
    return fastest;
}

}  // namespace

Record bench_prefill(const InferenceRequest& request) {
    check(request, request.prompt);
    Subject subject(request);
    const config::Model& m = request.model;
    const int64_t rows = request.batch * request.prompt, c = m.d_model;
    const std::vector<int32_t> ids = random_ids(rows, m.vocab_size, request.seed);
    std::vector<float> logits(static_cast<size_t>(request.batch * m.vocab_size));
    model::KvCache cache(model::cache_specs(m), request.batch, request.prompt, at::kCPU);
    Record record = new_record(request, "prefill", request.batch);
    record.shape["prompt"] = request.prompt;
    record.timing = measure(
        [&] {
            set_length(cache, m.n_layer, 0);
            subject.decoder.read(ids, request.batch, cache, logits.data());
        },
        {.warm_up = 2, .samples = std::max(kFewestSamples, request.samples)});

    double flops = 0, seconds = 0;
    for (const auto& [n, k] : {std::array{3 * c, c}, {c, c}, {4 * c, c}, {c, 4 * c}}) {
        flops += 2.0 * static_cast<double>(rows) * static_cast<double>(n * k);
        seconds += fastest_seconds(rows, n, k, request.bf16);
    }
    const double gemm_gflops = flops / seconds / 1e9;
    const double all = flops * static_cast<double>(m.n_layer) +
                       2.0 * static_cast<double>(request.batch * m.vocab_size * c);
    record.results["tokens_per_s"] = static_cast<double>(rows) / record.timing.median_s;
    record.results["first_token_ms"] = 1e3 * record.timing.median_s;
    record.results["gflops"] = all / record.timing.median_s / 1e9;
    record.results["gemm_gflops"] = gemm_gflops;
    record.results["gemm_share"] = record.results["gflops"] / gemm_gflops;
    return record;
}

}  // namespace knlp::bench
