#include "src/app/commands/unfinished.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/config/environment.h"
#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/report/report.h"
#include "knlp/train/trainer.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;

struct Options {
    Option resume_option;
    std::string resume, init_from, preset, max_iters, max_tokens, max_time, device;
    bool sanity_overfit = false, strict = false, force = false, allow_config_change = false;
    bool eval_only = false, debug_anomaly = false;
};
Options options;

/// Dedicated flags as overrides of the symbols they stand for.
std::vector<config::Symbols::Override> flag_overrides() {
    std::vector<config::Symbols::Override> flags;
    const auto add = [&flags](const char* name, const std::string& value) {
        if (!value.empty()) flags.push_back({name, value, config::Origin::kFlag});
    };
    add("GPT2_MAX_ITERS", options.max_iters);
    add("GPT2_MAX_TOKENS", options.max_tokens);
    add("GPT2_MAX_TIME", options.max_time);
    add("DEVICE", options.device);
    if (options.sanity_overfit) flags.push_back({"SANITY_OVERFIT", "y", config::Origin::kFlag});
    return flags;
}

/// The run that --resume names, or the newest that can go on.
fs::path run_to_resume(const Common& common) {
    if (!options.resume.empty()) return options.resume;
    const fs::path output = configured_output_dir(common);
    const fs::path newest = newest_unfinished_run(output).path;
    if (newest.empty())
        fail(kUsage, "{}: no interrupted run to go on with; name one: knlp train --resume DIR",
             (output / "runs").string());
    log::info("going on with {}", newest.string());
    return newest;
}

/// The configuration of a run resumed is the run's own, unless --config names another.
config::Symbols symbols_for(const Common& common, const fs::path& resume) {
    if (resume.empty() || !common.config.empty()) return load_symbols(common, flag_overrides());
    Common of_run = common;
    of_run.config = (resume / "config").string();
    if (!fs::exists(of_run.config))
        fail(kData, "{}: not a run directory, it has no 'config'; knlp report list names the runs",
             resume.string());
    return load_symbols(of_run, flag_overrides());
}

std::string measured_text(const train::Measured& m) {
    return fmt::format("step {}: val loss {:.4f} ± {:.4f} nats/token ({} windows, {} tokens)\n",
                       m.step, m.eval.loss, m.eval.standard_error, m.eval.window_loss.size(),
                       m.eval.tokens);
}

std::string measured_json(const train::Measured& m) {
    return canonical_json({{"status", 0},
                           {"step", m.step},
                           {"val_loss", m.eval.loss},
                           {"val_se", m.eval.standard_error},
                           {"eval_tokens", m.eval.tokens},
                           {"batches_sha256", m.batches_sha256}}) +
           "\n";
}

int run(const Common& common) {
    const fs::path resume = options.resume_option.given() ? run_to_resume(common) : fs::path();
    config::Symbols symbols = symbols_for(common, resume);
    if (const std::string trackers = config::unmirrored(symbols); !trackers.empty())
        log::warn(
            "no mirror to {}: make starts one beside a run, knlp does not; afterwards: make "
            "track-export TARGET=DIR TRACKER={}",
            trackers, trackers);
    const train::TrainOutcome outcome =
        train::run_training(symbols, {.out = common.out,
                                      .resume = resume,
                                      .init_from = options.init_from,
                                      .allow_config_change = options.allow_config_change,
                                      .strict = options.strict,
                                      .dry_run = common.dry_run,
                                      .force = options.force,
                                      .eval_only = options.eval_only,
                                      .debug_anomaly = options.debug_anomaly,
                                      .device_required = !options.device.empty(),
                                      .command_line = common.command_line,
                                      .preset = options.preset});
    if (outcome.measured) {
        put_text(common.json ? measured_json(*outcome.measured) : measured_text(*outcome.measured));
        return outcome.status;
    }
    fs::path page;
    if (outcome.status == 0 && !outcome.run_directory.empty())
        page = report::write_report(outcome.run_directory);
    if (common.json) {
        const nlohmann::json result = {{"status", outcome.status},
                                       {"run_directory", outcome.run_directory.string()},
                                       {"report", page.string()}};
        put_text(canonical_json(result) + "\n");
    } else if (!page.empty()) {
        put_text(report::text_summary(outcome.run_directory));
        put_text(fmt::format("{:<12}{}\n", "report", page.string()));
    }
    return outcome.status;
}

std::function<int(const Common&)> add_options(Parser verb) {
    options = {};
    options.resume_option =
        verb.add_option("--resume", options.resume,
                        "go on with a run (default: the newest interrupted one)")
            .type_name("[DIR]")
            .values(0, 1);
    verb.add_option("--init-from", options.init_from,
                    "start from the weights of a run, checkpoint or "
                    "Hugging Face GPT-2 directory, with a new optimizer")
        .type_name("DIR");
    verb.add_option("--preset", options.preset,
                    "name of the preset the configuration is, for the manifest");
    verb.add_option("--max-iters", options.max_iters, "same as --set GPT2_MAX_ITERS=N")
        .type_name("N");
    verb.add_option("--max-tokens", options.max_tokens, "same as --set GPT2_MAX_TOKENS=N")
        .type_name("N");
    verb.add_option("--max-time", options.max_time, "same as --set GPT2_MAX_TIME=SECONDS")
        .type_name("SECONDS");
    verb.add_option("--device", options.device, "auto, cpu, cuda or cuda:N; no fall back")
        .type_name("DEVICE");
    verb.add_flag("--sanity-overfit", options.sanity_overfit,
                  "first overfit one batch on a copy of the model");
    verb.add_flag("--eval-only", options.eval_only,
                  "measure the weights training would begin with, or go on with, and end");
    verb.add_flag("--debug-anomaly", options.debug_anomaly,
                  "end at the first tensor of a pass that is not finite, and name it; slow");
    verb.add_flag("--strict", options.strict,
                  "refuse substitute data and schedules that cannot complete");
    verb.add_flag("--force", options.force, "start even if memory or disk will not do");
    verb.add_flag("--allow-config-change", options.allow_config_change,
                  "resume with other symbols or data than the run's");
    return run;
}

}  // namespace

extern const Command cmd_train;
const Command cmd_train = {
    .name = "train",
    .summary = "train a model as the configuration says, or go on with a run",
    .needs = "",
    .add_options = add_options,
    .examples =
        "knlp train\n"
        "knlp train --set LEARNING_RATE=3e-4 --max-iters 200\n"
        "knlp train --resume\n"
        "knlp train --resume results/runs/NAME --max-iters 2000\n"
        "knlp train --init-from results/runs/NAME --out results/runs/finetuned",
    .handles_stop = true,
    .runs_for_long = true};

}  // namespace knlp::app
