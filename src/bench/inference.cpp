#include "knlp/bench/inference_bench.h"

#include "step_shapes.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/profile.h"
#include "knlp/core/rng.h"
#include "knlp/core/signals.h"
#include "knlp/core/stats.h"
#include "knlp/model/decoder.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/runtime.h"

#include <algorithm>
#include <array>
#include <span>

namespace knlp::bench {
namespace {

/// A model that only inference sees, with its decoder.
struct Subject {
    model::Gpt2 gpt2;
    model::Decoder decoder;

    explicit Subject(const InferenceRequest& request)
        : gpt2(made(request)), decoder(gpt2, request.bf16) {}

    static model::Gpt2 made(const InferenceRequest& request) {
        model::start_runtime({.threads = request.threads});
        model::Gpt2 gpt2(request.model);
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
            .types = {{"weights", request.bf16 ? "bf16" : "fp32"},
                      {"cache", request.bf16 ? "bf16" : "fp32"}},
            .threads = request.threads};
}

/// As if so many slots were filled: all were once, and their values stay.
void set_length(model::KvCache& cache, int64_t n_layer, int64_t length) {
    for (int64_t layer = 0; layer < n_layer; ++layer) cache.layer(layer).length = length;
}

int64_t kv_bytes_of(const std::vector<model::CacheSpec>& specs) {
    int64_t bytes = 0;
    for (const model::CacheSpec& spec : specs) bytes += model::cache_bytes_per_token(spec);
    return bytes;
}

/// Seconds of one token, those in attention, and the bandwidth of the memory around each.
struct Samples {
    int64_t repeats = 0;  // of the token within a sample
    std::vector<double> seconds, attention, gbps;
    double best_gbps = 0;  // of single readings; `gbps` has means of two

    /// Share of the bandwidth around it that moving so many bytes takes: median of the samples.
    double share(int64_t bytes) const {
        std::vector<double> shares;
        for (size_t i = 0; i < seconds.size(); ++i)
            shares.push_back(static_cast<double>(bytes) / seconds[i] / 1e9 / gbps[i]);
        return median(shares);
    }
};

/// Sequences that have read as many tokens as the longest context has.
class Sequences {
public:
    Sequences(Subject& subject, const InferenceRequest& request, int64_t batch)
        : decoder_(subject.decoder),
          n_layer_(request.model.n_layer),
          batch_(batch),
          cache_(subject.decoder.cache_specs(), batch, std::ranges::max(request.contexts)),
          ids_(random_ids(batch, request.model.vocab_size, request.seed + 1)),
          logits_(static_cast<size_t>(batch * request.model.vocab_size)),
          samples_(request.contexts.size()) {
        const int64_t before = cache_.capacity() - 1;
        if (before == 0) return;
        decoder_.read(random_ids(batch * before, request.model.vocab_size, request.seed), batch,
                      cache_, nullptr);
    }

    int64_t batch() const { return batch_; }
    const Samples& samples(size_t index) const { return samples_[index]; }

    /// One token of each, over and over for so long; the first call only looks how often that is.
    /// Then the memory is read: its bandwidth before is `gbps`, which becomes the one afterwards.
    void sample(size_t index, int64_t context, double least_s, MemoryMeter& memory, double& gbps) {
        Samples& own = samples_[index];
        const bool first = own.repeats == 0;
        const int64_t repeats = first ? 2 : own.repeats;
        profile::start();
        for (int64_t i = 0; i < repeats; ++i) {
            set_length(cache_, n_layer_, context - 1);
            decoder_.read(ids_, batch_, cache_, logits_.data());
        }
        const profile::Totals booked = profile::stop();
        const double each = booked.seconds / static_cast<double>(repeats);
        const double before = gbps;
        gbps = memory.read_gbps(least_s / 2);
        own.best_gbps = std::max({own.best_gbps, before, gbps});
        if (first) {
            own.repeats = std::max<int64_t>(1, static_cast<int64_t>(least_s / each));
            return;
        }
        own.seconds.push_back(each);
        own.attention.push_back(booked.of(profile::Group::kAttention).seconds /
                                static_cast<double>(repeats));
        own.gbps.push_back((before + gbps) / 2);
    }

private:
    model::Decoder& decoder_;
    int64_t n_layer_, batch_;
    model::KvCache cache_;
    std::vector<int32_t> ids_;
    std::vector<float> logits_;
    std::vector<Samples> samples_;  // of each context
};

/// Of each context: sequences' tokens, with what the layout makes them read.
Record decode_record(const InferenceRequest& request, const Subject& subject,
                     const Sequences& sequences, size_t index) {
    const int64_t context = request.contexts[index];
    Record record = new_record(request, "decode.s" + std::to_string(context), sequences.batch());
    const Samples& samples = sequences.samples(index);
    record.shape["context"] = context;
    record.timing = summarize(samples.seconds);
    record.read_gbps = samples.best_gbps;
    record.only_reads = true;
    const int64_t weight_bytes = subject.decoder.weight_bytes();
    const int64_t kv_bytes =
        sequences.batch() * context * kv_bytes_of(subject.decoder.cache_specs());
    record.bytes_moved = weight_bytes + kv_bytes;
    record.results["tokens_per_s"] =
        static_cast<double>(sequences.batch()) / record.timing.median_s;
    record.results["attention_ms"] = 1e3 * median(samples.attention);
    record.details = {{"attention_s", samples.attention}};
    record.results["weight_bytes"] = static_cast<double>(weight_bytes);
    record.results["kv_bytes"] = static_cast<double>(kv_bytes);
    record.results["read_gbps"] = median(samples.gbps);
    record.results["read_share"] = samples.share(record.bytes_moved);
    return record;
}

/// Slope of y over x by least squares.
double slope_of(std::span<const int64_t> x, std::span<const double> y) {
    double n = 0, sum_x = 0, sum_y = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        const auto at = static_cast<double>(x[i]);
        n += 1;
        sum_x += at;
        sum_y += y[i];
        xx += at * at;
        xy += at * y[i];
    }
    return (n * xy - sum_x * sum_y) / (n * xx - sum_x * sum_x);
}

/// How the time grows with the context, as results of the last record. Each round of turns has a
/// slope, so that a memory that is slower for a while makes no difference; the median counts.
void add_slopes(const InferenceRequest& request, const Sequences& sequences, Record& last) {
    const auto slope_ns = [&](std::vector<double> Samples::*seconds) {
        std::vector<double> slopes, each(request.contexts.size());
        for (size_t round = 0; round < (sequences.samples(0).*seconds).size(); ++round) {
            for (size_t i = 0; i < each.size(); ++i)
                each[i] = (sequences.samples(i).*seconds)[round];
            slopes.push_back(1e9 * slope_of(request.contexts, each));
        }
        return median(slopes);
    };
    const double bytes = last.results["kv_bytes"] / static_cast<double>(last.shape.at("context"));
    auto& results = last.results;
    results["slope_ns"] = slope_ns(&Samples::seconds);
    results["slope_attention_ns"] = slope_ns(&Samples::attention);
    results["slope_attention_share"] = results["slope_attention_ns"] / results["slope_ns"];
    results["slope_bytes_ns"] = bytes / results["read_gbps"];
    results["slope_ratio"] = results["slope_ns"] / results["slope_bytes_ns"];
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
    std::vector<Sequences> all;
    if (request.batch > 1) all.emplace_back(subject, request, 1);
    all.emplace_back(subject, request, request.batch);
    MemoryMeter memory(request.threads, request.read_bytes);
    double gbps = memory.read_gbps(request.min_sample_s / 2);
    // Contexts, batches and the memory take turns: slope, ratio and share are of the same moments.
    for (int64_t round = 0; round <= std::max(kFewestSamples, request.samples); ++round)
        for (size_t i = 0; i < request.contexts.size(); ++i)
            for (Sequences& each : all) {
                throw_if_stopped();
                each.sample(i, request.contexts[i], request.min_sample_s, memory, gbps);
            }

    // One best for all: it is memory's, whichever context met it.
    double best = machine.memory.read_gbps;
    for (const Sequences& each : all)
        for (size_t i = 0; i < request.contexts.size(); ++i)
            best = std::max(best, each.samples(i).best_gbps);
    std::vector<Record> records;
    for (size_t i = 0; i < request.contexts.size(); ++i) {
        Record record = decode_record(request, subject, all.back(), i);
        record.read_gbps = best;
        record.results["read_share_of_best"] =
            static_cast<double>(record.bytes_moved) / record.timing.median_s / 1e9 / best;
        if (request.batch > 1) {
            std::vector<double> ratios;
            for (size_t k = 0; k < record.timing.samples_s.size(); ++k)
                ratios.push_back(static_cast<double>(request.batch) *
                                 all.front().samples(i).seconds[k] / record.timing.samples_s[k]);
            record.results["times_batch_1"] = median(ratios);
        }
        records.push_back(std::move(record));
    }
    if (records.size() > 1) add_slopes(request, all.back(), records.back());
    return records;
}

Record bench_prefill(const InferenceRequest& request) {
    check(request, request.prompt);
    Subject subject(request);
    const config::Model& m = request.model;
    const int64_t chunk =
        request.chunk > 0 ? std::min(request.chunk, request.prompt) : request.prompt;
    const int64_t rows = request.batch * request.prompt, c = m.d_model;
    const std::vector<int32_t> ids = random_ids(rows, m.vocab_size, request.seed);
    std::vector<float> logits(static_cast<size_t>(request.batch * m.vocab_size));
    model::KvCache cache(subject.decoder.cache_specs(), request.batch, request.prompt);
    Record record = new_record(request, "prefill", request.batch);
    record.shape["prompt"] = request.prompt;
    record.shape["chunk"] = chunk;
    record.timing = measure(
        [&] {
            set_length(cache, m.n_layer, 0);
            for (int64_t from = 0, to = 0; from < request.prompt; from = to) {
                to = std::min(request.prompt, from + chunk);
                // Which ids do not matter, so those of a chunk may be neighbours.
                subject.decoder.read(
                    std::span(ids).subspan(static_cast<size_t>(request.batch * from),
                                           static_cast<size_t>(request.batch * (to - from))),
                    request.batch, cache, to == request.prompt ? logits.data() : nullptr);
            }
        },
        {.warm_up = 2, .samples = std::max(kFewestSamples, request.samples)});

    double weights = 0, seconds = 0;  // of a layer; of a chunk in it
    for (const auto& [n, k] : {std::array{3 * c, c}, {c, c}, {4 * c, c}, {c, 4 * c}}) {
        weights += static_cast<double>(n * k);
        seconds += fastest_seconds({model::LayerProduct::kForward, request.batch * chunk, n, k},
                                   request.bf16, kFewestSamples);
    }
    const double gemm_gflops =
        2.0 * static_cast<double>(request.batch * chunk) * weights / seconds / 1e9;
    const double all = 2.0 * static_cast<double>(rows * m.n_layer) * weights +
                       2.0 * static_cast<double>(request.batch * m.vocab_size * c);
    record.results["tokens_per_s"] = static_cast<double>(rows) / record.timing.median_s;
    record.results["first_token_ms"] = 1e3 * record.timing.median_s;
    record.results["gflops"] = all / record.timing.median_s / 1e9;
    record.results["gemm_gflops"] = gemm_gflops;
    record.results["gemm_share"] = record.results["gflops"] / gemm_gflops;
    return record;
}

}  // namespace knlp::bench
