#include "knlp/train/trainer.h"

#include "checkpoint_store.h"
#include "describe.h"
#include "loop.h"
#include "record.h"
#include "sample.h"
#include "sanity.h"
#include "session.h"
#include "shape.h"
#include "tensors.h"
#include "text.h"

#include "knlp/config/symbols.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/rng.h"
#include "knlp/core/signals.h"
#include "knlp/model/model_files.h"
#include "knlp/model/runtime.h"
#include "knlp/model/weights.h"
#include "knlp/track/index.h"
#include "knlp/train/checkpoint.h"

#include <fmt/ranges.h>

#include <cmath>
#include <new>

namespace knlp::train {

namespace fs = std::filesystem;

namespace {

/// Writes what a run directory says about its configuration; the choices of this run have origin
/// auto.
void write_configuration(const track::RunDir& run, config::Symbols& symbols,
                         const Choices& choices) {
    symbols.record_auto("NUM_THREADS", std::to_string(choices.threads));
    symbols.record_auto("BATCH_SIZE", std::to_string(choices.micro));
    symbols.record_auto("GRADIENT_ACCUMULATION", std::to_string(choices.accumulation));
    symbols.record_auto("GEMM_BACKEND", choices.gemm);
    symbols.record_auto("KNLP_ISA", choices.isa);
    write_file_atomic(run.file("config"), symbols.dot_config());
    write_file_atomic(run.file("config.resolved.json"), symbols.resolved_json() + "\n");
}

/// The tokenizer's files, so that the run directory can be used alone.
void write_tokenizer(const track::RunDir& run, const Session& s) {
    if (!s.tokenizer) return;
    fs::create_directories(run.file("tokenizer"));
    s.tokenizer->save(run.file("tokenizer"));
}

void write_eval_windows(const track::RunDir& run, const EvalResult& result) {
    AtomicFile file(run.file("eval_windows.f32"));
    file.write(std::as_bytes(std::span(result.window_loss)));
    file.commit();
}

/// One forward, backward and optimizer step on made-up tokens, on the CPU; nothing is written.
TrainOutcome dry_run(Session& s, const TrainRequest& request) {
    plan_resources(s, request, {});
    build_model(s);
    if (!request.init_from.empty()) load_initial_weights(s, request.init_from);
    print_plan(s);
    for (const std::string& warning : s.warnings) log::warn("{}", warning);
    data::Batch batch{.rows = s.batch.micro, .n_ctx = s.model.n_ctx};
    const Stream stream(s.general.seed, "dry-run");
    for (int64_t i = 0; i < batch.rows * batch.n_ctx; ++i) {
        batch.inputs.push_back(static_cast<int64_t>(
            stream.below(static_cast<uint64_t>(s.model.vocab_size), static_cast<uint64_t>(i))));
        // Not the inputs: a head tied to the embedding would do well on those.
        batch.targets.push_back(static_cast<int64_t>(
            stream.below(static_cast<uint64_t>(s.model.vocab_size), static_cast<uint64_t>(i), 1)));
    }
    model::ForwardContext context{.training = true, .seed = s.general.seed, .bf16 = s.bf16()};
    const double loss = s.gpt2->loss_and_gradients(batch, context);
    const optim::StepInfo info = s.optimizer->step(s.train.learning_rate);
    for (const model::ParameterSpec& spec : model::gpt2_parameters(s.model))
        log::debug("{} [{}]{}", spec.name, fmt::join(spec.shape, ", "),
                   spec.decay ? ", decayed" : "");
    log::info(
        "dry run  one step on random tokens: loss {:.4f} (ln {} = {:.4f}), gradient norm {:.3f}",
        loss, s.model.vocab_size, std::log(static_cast<double>(s.model.vocab_size)),
        info.grad_norm);
    log::info("         nothing was written");
    return {};
}

/// Runs the loop and what follows it; a failure is recorded in the run directory before it goes on.
TrainOutcome run_recorded(Session& s, RunState& state, Recorder& recorder,
                          const TrainRequest& request, const std::string& config_sha256) {
    const fs::path path = recorder.run().path();
    TrainOutcome outcome{.run_directory = path};
    const auto record = [&](int status, const std::string& text) {
        recorder.failed(status, text);
        track::index_run(s.general.output_dir, path);
    };
    try {
        if (s.train.sanity_overfit && state.step == 0) require_sanity(s);
        Loop loop(s, state, recorder, request, config_sha256);
        outcome.status = loop.run();
        if (outcome.status == 0) {
            write_eval_windows(recorder.run(), loop.final_eval());
            // Done is said last: a run that is killed before goes on and writes the rest.
            if (write_sample(s, path))
                recorder.finish(loop.final_event());
            else
                outcome.status = loop.stop();
        }
    } catch (const Error& error) {
        record(exit_status(error.kind()), error.what());
        throw;
    } catch (const std::bad_alloc&) {
        const std::string text = fmt::format(
            "out of memory: {} held, {} at the peak; lower BATCH_SIZE and "
            "accumulate instead, or set LOSS_CHUNK",
            bytes_text(resident_bytes()), bytes_text(peak_resident_bytes()));
        record(4, text);
        fail_code(kRun, "E_MEMORY", "{}", text);
    } catch (const std::exception& error) {
        const std::string text = model::torch_error_text(error);
        if (text.empty()) throw;
        record(4, text);
        if (text.find("memory") == std::string::npos) throw;
        fail_code(kRun, "E_MEMORY",
                  "out of memory: {} held, {} at the peak; lower BATCH_SIZE and accumulate "
                  "instead, or set LOSS_CHUNK",
                  bytes_text(resident_bytes()), bytes_text(peak_resident_bytes()));
    }
    print_substitute(s);
    track::index_run(s.general.output_dir, path);
    return outcome;
}

TrainOutcome start_run(config::Symbols& symbols, const TrainRequest& request) {
    const fs::path output = config::read_general(symbols).output_dir;
    if (!request.dry_run) require_writable(request.out.empty() ? output : request.out);
    // Before the data, whose preparation may take minutes.
    if (!request.init_from.empty()) model::find_model(request.init_from);
    Session s = prepare_session(symbols, request, {});
    if (request.dry_run) return dry_run(s, request);
    plan_resources(s, request, request.out.empty() ? output : request.out);
    build_model(s);
    if (!request.init_from.empty()) load_initial_weights(s, request.init_from);
    measure_time(s, request, 0, 0);

    track::RunDir run = track::RunDir::create(output, run_name(s), request.out);
    run.lock();
    log::open_run_log(run.file("output.log"));
    write_configuration(run, symbols, s.choices);
    write_tokenizer(run, s);
    print_substitute(s);
    print_banner(s, run.path().string(), 0);
    const std::string hash = symbols.hash();
    Recorder recorder(run, describe(s, request, hash), describe_details(s), s.train.tensorboard);
    recorder.begin(0);
    track::index_run(output, run.path());  // one killed later can be found by --resume
    RunState state;
    return run_recorded(s, state, recorder, request, hash);
}

/// What a resume changes in a run: for its manifest, and as lines to warn with.
struct Changes {
    track::Manifest::Attempt attempt;
    std::vector<std::string> notes;
};

/// Error{kConfig, "E_RESUME_MISMATCH"} unless the configuration is that of the run, or may differ.
void compare_configuration(Changes& changes, const config::Symbols& symbols,
                           const config::Symbols& before, const TrainRequest& request) {
    const auto value = [](const config::Symbols& from, const std::string& name) {
        const auto found = from.values().find(name);
        return found == from.values().end() ? std::nullopt : std::optional(found->second);
    };
    std::vector<std::string> texts;
    for (const std::string& name : symbols.differences(before)) {
        const track::Manifest::Change change{name, value(before, name), value(symbols, name)};
        texts.push_back(fmt::format("{}={} (was {})", name, change.now.value_or("off"),
                                    change.before.value_or("off")));
        changes.attempt.changed_symbols.push_back(change);
    }
    if (texts.empty()) return;
    const std::string list = fmt::format("{}", fmt::join(texts, ", "));
    if (!request.allow_config_change)
        fail_code(kConfig, "E_RESUME_MISMATCH",
                  "{}: the configuration differs from the run's: {}; undo it, or "
                  "give --allow-config-change to go on with it",
                  request.resume.string(), list);
    changes.notes.push_back("going on with a changed configuration: " + list);
}

/// Error{kData} unless the tokens are those the run began with, or may differ.
void compare_data(Changes& changes, const Session& s, const track::RunDir& run,
                  const TrainRequest& request) {
    const std::string change = changed_data(s, run.path());
    if (change.empty()) return;
    if (!request.allow_config_change)
        fail(kData, "{}: {}; put them back, or give --allow-config-change to go on with these",
             request.resume.string(), change);
    changes.notes.push_back("going on with other data: " + change);
    changes.attempt.replaced_data = recorded_data(run.path());
}

/// Says so when a step is no longer what it was.
void note_batch(Changes& changes, const Session& s, const StateFile& file) {
    const int64_t before = file.choices.micro * file.choices.accumulation;
    if (before == s.batch.effective()) return;
    changes.notes.push_back(
        fmt::format("a step takes {} sequences from step {} on, {} before; {} tokens were seen",
                    s.batch.effective(), file.resume.step, before, file.resume.tokens));
}

/// The parent a run was started from: its record keeps it, and without a checkpoint the run begins
/// there again.
fs::path initial_weights_of(const track::RunDir& run) {
    if (!fs::exists(run.file("manifest.json"))) return {};
    return manifest_parent(run.path(), "init_from");
}

TrainOutcome go_on(config::Symbols& symbols, const TrainRequest& request) {
    track::RunDir run = track::RunDir::open(request.resume);
    run.lock();
    require_writable(run.path());
    const config::Symbols before = config::Symbols::load(run.file("config"), {});
    Changes changes;
    compare_configuration(changes, symbols, before, request);
    const std::optional<CheckpointInfo> checkpoint = newest_checkpoint(run.path(), changes.notes);
    StateFile file;
    TrainRequest asked = request;
    asked.init_from = initial_weights_of(run);
    if (checkpoint) file = read_state_file(checkpoint->path / "state.json");
    Choices forced = file.choices;
    if (!symbols.differences(before).empty()) forced.micro = forced.accumulation = 0;
    if (config::read_general(symbols).num_threads != config::read_general(before).num_threads)
        forced.threads = 0;

    if (request.dry_run && checkpoint) asked.init_from = checkpoint->path;
    Session s = prepare_session(symbols, asked, forced);
    if (request.dry_run) return dry_run(s, asked);
    if (checkpoint) require_same_shape(checkpoint->path, file.model, s.model, Head::kSame);
    compare_data(changes, s, run, request);
    plan_resources(s, asked, run.path());
    build_model(s);
    if (checkpoint) {
        if (file.optimizer != s.optimizer_options.name)
            fail_code(kConfig, "E_RESUME_MISMATCH",
                      "{}: its optimizer is {}, the configuration wants {}; a "
                      "new optimizer starts with --init-from",
                      checkpoint->path.string(), file.optimizer, s.optimizer_options.name);
        model::load_weights(checkpoint->path / "model.safetensors", *s.gpt2, !s.model.weight_tying);
        read_optimizer(checkpoint->path / "optim.safetensors", *s.optimizer);
        s.optimizer->load_scalars(file.optimizer_scalars);
    } else if (!asked.init_from.empty()) {
        load_initial_weights(s, asked.init_from);
    }
    RunState state = file.resume;
    if (checkpoint) note_batch(changes, s, file);
    measure_time(s, asked, state.step, state.elapsed_s);

    log::open_run_log(run.file("output.log"));
    clean_checkpoints(run.path(), checkpoint ? checkpoint->step : -1);
    if (!checkpoint)
        log::warn("{}: no checkpoint to go on from; beginning again", run.path().string());
    write_configuration(run, symbols, s.choices);
    write_tokenizer(run, s);
    print_substitute(s);
    print_banner(s, run.path().string(), state.step);
    const std::string hash = symbols.hash();
    track::Manifest manifest = describe(s, asked, hash);
    changes.attempt.from_step = state.step;
    manifest.attempt = std::move(changes.attempt);
    Recorder recorder(run, std::move(manifest), describe_details(s), s.train.tensorboard);
    recorder.begin(state.metrics_offset, changes.notes);
    track::index_run(s.general.output_dir, run.path());
    return run_recorded(s, state, recorder, asked, hash);
}

}  // namespace

TrainOutcome run_training(config::Symbols& symbols, const TrainRequest& request) {
    if (!request.resume.empty() && !request.init_from.empty())
        fail(kUsage,
             "--resume goes on with a run and --init-from starts a new one; give one of them");
    const TrainOutcome outcome =
        request.resume.empty() ? start_run(symbols, request) : go_on(symbols, request);
    log::close_run_log();
    return outcome;
}

}  // namespace knlp::train
