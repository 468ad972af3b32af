#include "knlp/bench/bench.h"

#include "breakdown.h"
#include "step_shapes.h"
#include "tokens.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/profile.h"
#include "knlp/core/signals.h"
#include "knlp/core/stats.h"
#include "knlp/data/batches.h"
#include "knlp/model/device_peak.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/runtime.h"
#include "knlp/optim/optimizer.h"
#include "knlp/train/device_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

namespace knlp::bench {
namespace {

constexpr double kOptimizerFlops = 15;     // a parameter, about (kernels/adamw_step.h)
constexpr double kRate = 1e-4;             // its value changes no timing
constexpr double kBeyondCaches = 1 << 28;  // bytes that no cache holds
constexpr double kCopySeconds = 0.1;

/// Seconds of one step by phase, and its loss.
struct StepTimes {
    double data = 0, forward = 0, backward = 0, optimizer = 0, loss = 0;
    double queued = 0;  // on a device with a queue, instead of the three before
    double total() const { return data + forward + backward + optimizer + queued; }
};

/// One clock for all phases: lap() gives the seconds since the last.
class Stopwatch {
public:
    double lap() {
        const double now = steady_seconds();
        const double took = now - last_;
        last_ = now;
        return took;
    }

private:
    double last_ = steady_seconds();
};

double parameters_of(const StepRequest& request) {
    return static_cast<double>(model::parameter_count(request.model));
}

/// Weight and gradient read, weight written, every state tensor read and written.
double bytes_of_update(const StepRequest& request) {
    const int64_t states =
        optim::optimizer_type(request.optimizer.name).state_tensors(request.optimizer);
    return parameters_of(request) * static_cast<double>(12 + 8 * states);
}

data::Batch next_batch(data::BatchLoader& loader) {
    const profile::Scope scope(profile::Group::kData);
    return loader.next();
}

StepTimes take_step(const StepRequest& request, int64_t step, model::Gpt2& gpt2,
                    optim::Optimizer& optimizer, data::BatchLoader& loader) {
    using profile::Group;
    using profile::Scope;
    StepTimes times;
    Stopwatch watch;
    for (int64_t micro = 0; micro < request.accumulation; ++micro) {
        const data::Batch batch = next_batch(loader);
        times.data += watch.lap();
        model::ForwardContext context{.training = true,
                                      .dropout = request.model.dropout,
                                      .seed = request.seed,
                                      .step = step,
                                      .micro = micro,
                                      .first_row = micro * request.batch,
                                      .bf16 = request.precision == config::Precision::kBfloat16};
        const int64_t targets = request.accumulation * batch.rows * batch.n_ctx;
        {
            const Scope scope(Group::kOther, 0, 0, "passes");
            times.loss += gpt2.loss_and_gradients(batch, context, static_cast<double>(targets));
        }
        times.forward += context.forward_s;
        times.backward += watch.lap() - context.forward_s;
    }
    const Scope scope(Group::kOptimizer, kOptimizerFlops * parameters_of(request),
                      bytes_of_update(request));
    const optim::StepInfo info = optimizer.step(kRate);
    if (!info.finite)
        fail_code(kRun, "E_DIVERGED", "the gradient of {} is not finite", info.first_bad);
    gpt2.clear_gradients();
    times.optimizer = watch.lap();
    return times;
}

/// The whole step enqueued at once; it is over when its outcome is here.
StepTimes take_queued_step(const StepRequest& request, int64_t step, train::DeviceSteps& steps,
                           data::BatchLoader& loader) {
    StepTimes times;
    Stopwatch watch;
    for (int64_t micro = 0; micro < request.accumulation; ++micro) steps.add(next_batch(loader));
    times.data = watch.lap();
    steps.run(step, kRate);
    const train::StepOutcome outcome = steps.collect().back();
    if (!outcome.info.finite)
        fail_code(kRun, "E_DIVERGED", "the gradient of {} is not finite", outcome.info.first_bad);
    times.loss = outcome.loss;
    times.queued = watch.lap();
    return times;
}

double median_of(const std::vector<StepTimes>& steps, double StepTimes::*field) {
    std::vector<double> values;
    for (const StepTimes& step : steps) values.push_back(step.*field);
    return median(values);
}

/// Steps with their times; with regions, each is followed by one that is booked by region.
struct Steps {
    std::vector<StepTimes> plain;
    std::vector<profile::Totals> booked;
    std::vector<double> copy_gbps;  // after each plain step, where that is measured
    std::string launched;           // how a device was given them

    Timing timing() const {
        std::vector<double> totals;
        for (const StepTimes& times : plain) totals.push_back(times.total());
        return summarize(std::move(totals));
    }
};

/// An update in the caches is not limited by memory, and copying would empty them for the next
/// step.
std::unique_ptr<MemoryMeter> meter_of(const StepRequest& request) {
    if (request.copy_bytes == 0 && bytes_of_update(request) <= kBeyondCaches) return nullptr;
    return std::make_unique<MemoryMeter>(request.threads, request.copy_bytes);
}

Steps run_steps(const StepRequest& request, bool by_region, model::Gpt2& gpt2,
                optim::Optimizer& optimizer, data::BatchLoader& loader) {
    Steps steps;
    const std::unique_ptr<MemoryMeter> memory = by_region ? meter_of(request) : nullptr;
    for (int64_t step = 0, taken = 0; step < request.warm_up + request.samples; ++step) {
        throw_if_stopped();
        const StepTimes times = take_step(request, taken++, gpt2, optimizer, loader);
        if (step < request.warm_up) continue;
        steps.plain.push_back(times);
        if (!by_region) continue;
        if (memory) steps.copy_gbps.push_back(memory->copy_gbps(kCopySeconds));
        profile::start();
        take_step(request, taken++, gpt2, optimizer, loader);
        steps.booked.push_back(profile::stop());
    }
    return steps;
}

Steps run_queued_steps(const StepRequest& request, model::Gpt2& gpt2, optim::Optimizer& optimizer,
                       data::BatchLoader& loader) {
    train::DeviceSteps queue(gpt2, optimizer,
                             {.micro = request.batch,
                              .accumulation = request.accumulation,
                              .seed = request.seed,
                              .bf16 = request.precision == config::Precision::kBfloat16});
    // The step that is recorded is none to be timed.
    const int64_t warm_up = std::max(request.warm_up, train::DeviceSteps::kWarmUps + 1);
    Steps steps;
    for (int64_t step = 0; step < warm_up + request.samples; ++step) {
        throw_if_stopped();
        const StepTimes times = take_queued_step(request, step, queue, loader);
        if (step >= warm_up) steps.plain.push_back(times);
    }
    steps.launched =
        queue.recorded() ? "as one graph" : "kernel by kernel: " + queue.not_recorded();
    return steps;
}

/// Share of the stated bf16 peak of the device, where both are known.
void add_mfu(const StepRequest& request, const std::string& device_name, Record& record) {
    if (request.precision != config::Precision::kBfloat16) return;
    const double a_token = model::flops_per_token(request.model, request.model.n_ctx);
    if (const std::optional<double> peak = model::bf16_peak(device_name))
        record.results["mfu"] = model::mfu(record.results["tokens_per_s"], a_token, *peak);
    else
        log::info("mfu n/a: the peak of '{}' is not known", device_name);
}

Record record_of(const StepRequest& request, const std::string& route, const std::string& device,
                 bool random_tokens, const Steps& steps) {
    const int64_t n_ctx = request.model.n_ctx;
    const bool bf16 = request.precision == config::Precision::kBfloat16;
    const auto tokens_per_step = static_cast<double>(request.batch * request.accumulation * n_ctx);
    Record record{.what = "step",
                  .shape = {{"n_layer", request.model.n_layer},
                            {"n_head", request.model.n_head},
                            {"d_model", request.model.d_model},
                            {"n_ctx", n_ctx},
                            {"vocab_size", request.model.vocab_size},
                            {"batch", request.batch},
                            {"accumulation", request.accumulation},
                            {"parameters", model::parameter_count(request.model)}},
                  .types = {{"weights", "fp32"},
                            {"matmul", bf16 ? "bf16" : "fp32"},
                            {"gemm", route},
                            {"device", device},
                            {"optimizer", request.optimizer.name},
                            {"tokens", random_tokens ? "random" : "file"}},
                  .threads = request.threads,
                  .timing = steps.timing()};
    const auto median_ms = [&](double StepTimes::*field) {
        return 1e3 * median_of(steps.plain, field);
    };
    const double step_s = record.timing.median_s;
    record.results["tokens_per_s"] = tokens_per_step / step_s;
    record.results["data_ms"] = median_ms(&StepTimes::data);
    if (steps.plain.front().queued > 0) {
        record.results["queued_ms"] = median_ms(&StepTimes::queued);
    } else {
        record.results["forward_ms"] = median_ms(&StepTimes::forward);
        record.results["backward_ms"] = median_ms(&StepTimes::backward);
        record.results["optimizer_ms"] = median_ms(&StepTimes::optimizer);
    }
    record.results["data_share"] = median_of(steps.plain, &StepTimes::data) / step_s;
    record.results["gflops"] =
        tokens_per_step * model::flops_per_token(request.model, n_ctx) / step_s / 1e9;
    record.results["first_loss"] = steps.plain.front().loss;
    record.results["last_loss"] = steps.plain.back().loss;
    return record;
}

/// The step against what it cannot do without: its products, each alone by its fastest route, and
/// the memory that the update moves.
void add_ratios(const StepRequest& request, const Machine& roof, const Steps& steps,
                Record& record) {
    std::vector<double> update_ms, optimizer_ratios;
    for (size_t i = 0; i < steps.plain.size(); ++i) {
        const double gbps = steps.copy_gbps.empty() ? roof.memory.best_gbps() : steps.copy_gbps[i];
        update_ms.push_back(1e3 * bytes_of_update(request) / (1e9 * gbps));
        optimizer_ratios.push_back(1e3 * steps.plain[i].optimizer / update_ms.back());
    }
    const double products_ms = 1e3 * fastest_products_s(request);
    record.results["products_ms"] = products_ms;
    record.results["update_bytes_ms"] = median(update_ms);
    record.results["step_ratio"] =
        1e3 * record.timing.median_s / (products_ms + record.results["update_bytes_ms"]);
    record.results["optimizer_ratio"] = median(optimizer_ratios);
    if (!steps.copy_gbps.empty()) record.results["copy_gbps"] = median(steps.copy_gbps);
    record.goal = fmt::format("124M: step_ratio at most {}, optimizer_ratio at most 1.3",
                              request.precision == config::Precision::kBfloat16 ? 1.35 : 1.25);
}

}  // namespace

config::Model model_of_size(const std::string& size) {
    config::Model model = model::gpt2_preset(size);
    model.dropout = 0;  // as those that speeds are compared with
    return model;
}

std::vector<std::array<int64_t, 3>> start_for_products(const StepRequest& request) {
    model::start_runtime({.threads = request.threads});
    return model::gemm_shapes(request.model, request.batch, request.model.n_ctx);
}

namespace {

struct Measured {
    Record record;
    Steps steps;
};

/// Model, optimizer and buffers are gone when it returns.
Measured measured_step(const StepRequest& request, const Machine* roof) {
    const BenchTokens tokens(request);
    const int64_t n_ctx = request.model.n_ctx;
    const auto products = start_for_products(request);
    const model::Device device = model::resolve_device(request.device);
    // Routes are the processor's; timing them for another device would only take long.
    const std::string route =
        model::choose_gemm_route(device.is_cpu() ? request.gemm : "aten", products,
                                 request.precision == config::Precision::kBfloat16);
    model::Gpt2 gpt2(request.model, device);
    const bool queued = !gpt2.device().is_cpu();
    if (queued && roof != nullptr)
        fail(kUsage, "--breakdown books the processor's time; leave it out on device {}",
             gpt2.device().str());
    gpt2.initialize(request.seed);
    const std::unique_ptr<optim::Optimizer> optimizer =
        optim::make_optimizer(request.optimizer, gpt2, queued);
    data::BatchLoader loader(tokens.file(), request.seed, 0, request.batch, request.accumulation,
                             n_ctx);
    Steps steps = optimizer->queued() != nullptr
                      ? run_queued_steps(request, gpt2, *optimizer, loader)
                      : run_steps(request, roof != nullptr, gpt2, *optimizer, loader);
    Record record = record_of(request, route, gpt2.device().str(), tokens.random(), steps);
    if (queued) {
        record.types["device_name"] = model::device_name(gpt2.device());
        if (!steps.launched.empty()) record.types["launched"] = steps.launched;
        add_mfu(request, record.types["device_name"], record);
    }
    if (roof != nullptr) {
        const bool bf16 = request.precision == config::Precision::kBfloat16;
        if (!steps.copy_gbps.empty()) record.copy_gbps = std::ranges::max(steps.copy_gbps);
        Machine best = *roof;
        learn_bandwidth(record, best.memory);
        record.details = breakdown_json(steps.booked, record.timing, best, bf16);
        record.details_text = breakdown_text(record.details);
    } else {
        record.results["peak_rss_mib"] = static_cast<double>(peak_resident_bytes()) / (1 << 20);
    }
    return {std::move(record), std::move(steps)};
}

}  // namespace

Record bench_step(const StepRequest& wanted, const Machine* roof) {
    const StepRequest request = completed(wanted);
    auto [record, steps] = measured_step(request, roof);
    if (roof != nullptr) add_ratios(request, *roof, steps, record);
    return std::move(record);
}

}  // namespace knlp::bench
