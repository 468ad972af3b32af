// The trainer end to end: stretches of real runs, with and without what a run does beside its
// steps.
#include "knlp/bench/train_bench.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/train/trainer.h"

#include <nlohmann/json.hpp>

#include <sstream>

namespace knlp::bench {
namespace {

namespace fs = std::filesystem;

/// First and last step of the stretch: half an interval of warm-up, then a whole one with its
/// multiple of `steps` in the middle, where evaluation and checkpoint fall.
int64_t first_step(int64_t steps) {
    return steps / 2;
}

struct Stretch {
    double seconds = 0;  // of all steps and what lies between them
    double eval_s = 0;   // of it, forward passes of evaluation windows
};

/// Seconds that the evaluations after steps in (first, last] took, as the run recorded them.
double evaluation_seconds(const fs::path& run, int64_t first, int64_t last) {
    std::istringstream lines(read_file(run / "metrics.jsonl"));
    double seconds = 0;
    for (std::string line; std::getline(lines, line);) {
        const nlohmann::json event = nlohmann::json::parse(line);
        if (event.at("event") != "eval") continue;
        const int64_t step = event.at("step");
        if (step > first && step <= last) seconds += event.at("eval_s").get<double>();
    }
    return seconds;
}

/// Ends a run when the stretch is over: its final evaluation and sample need not be waited for.
struct Enough {};

Stretch run_stretch(const config::Symbols& configured, int64_t steps, const fs::path& directory) {
    config::Symbols symbols = configured;  // the run notes its choices there
    const int64_t first = first_step(steps), last = first + steps;
    double begin = 0, end = 0;
    train::TrainRequest request;
    request.out = directory;
    request.command_line = "knlp bench train";
    request.on_micro_batch = [&](int64_t step, int64_t micro) {
        if (micro != 0) return;
        if (step == first) begin = steady_seconds();
        if (step != last) return;
        end = steady_seconds();
        throw Enough();
    };
    try {
        train::run_training(symbols, request);
        throw_if_stopped();
        fail(kRun, "the run ended before step {}, the last of the stretch", last);
    } catch (const Enough&) {
        log::close_run_log();
    }
    const Stretch stretch{.seconds = end - begin,
                          .eval_s = evaluation_seconds(directory, first, last)};
    fs::remove_all(directory);
    return stretch;
}

}  // namespace

int64_t stretch_end(int64_t steps) {
    return first_step(steps) + steps + 1;
}

Record bench_train(const TrainBenchRequest& request) {
    if (request.steps < 2) fail(kUsage, "steps: {} is not at least 2", request.steps);
    if (request.samples < kFewestSamples)
        fail(kUsage, "{} runs of each kind say nothing; at least {} are needed", request.samples,
             kFewestSamples);
    const auto steps = static_cast<double>(request.steps);
    std::vector<double> on, off;
    double eval_s = 0;
    for (int64_t sample = 0; sample < request.samples; ++sample) {
        const Stretch with =
            run_stretch(request.on, request.steps, request.directory / "with-everything");
        const Stretch without = run_stretch(request.off, request.steps, request.directory / "bare");
        on.push_back((with.seconds - with.eval_s) / steps);
        off.push_back((without.seconds - without.eval_s) / steps);
        eval_s += with.eval_s / static_cast<double>(request.samples);
    }
    Record record{.what = "train",
                  .shape = {{"steps", request.steps}},
                  .timing = summarize(std::move(on)),
                  .rivals = {{"all off", summarize(std::move(off))}},
                  .goal = "ratio of at least 0.97"};
    const double without_s = record.rivals.at("all off").median_s;
    record.results = {{"steps_per_s", 1 / record.timing.median_s},
                      {"steps_per_s_off", 1 / without_s},
                      {"ratio", without_s / record.timing.median_s},
                      {"eval_s", eval_s}};
    return record;
}

}  // namespace knlp::bench
