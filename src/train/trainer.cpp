#include "knlp/train/trainer.h"

#include "checkpoint_store.h"
#include "describe.h"
#include "loop.h"
#include "record.h"
#include "resume.h"
#include "sample.h"
#include "sanity.h"
#include "session.h"
#include "text.h"

#include "knlp/config/symbols.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/rng.h"
#include "knlp/core/signals.h"
#include "knlp/data/documents.h"
#include "knlp/model/device_peak.h"
#include "knlp/model/model_files.h"
#include "knlp/model/runtime.h"
#include "knlp/model/weights.h"
#include "knlp/track/index.h"
#include "knlp/track/recorded.h"
#include "knlp/track/system_stats.h"
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
    run.write("config", track::recorded_config(symbols.dot_config()));
    run.write("config.resolved.json", track::recorded_settings(symbols.resolved_json()) + "\n");
}

/// The tokenizer's files, so that the run directory can be used alone.
void write_tokenizer(const track::RunDir& run, const Session& s) {
    if (!s.tokenizer) return;
    fs::create_directories(run.file("tokenizer"));
    s.tokenizer->save(run.file("tokenizer"));
}

template <class T>
void write_array(const track::RunDir& run, const char* name, const std::vector<T>& values) {
    AtomicFile file(run.file(name));
    file.write(std::as_bytes(std::span(values)));
    run.require_ours();
    file.commit();
}

/// The loss of each evaluation window, and where it is known the document that it begins in.
void write_eval_windows(const track::RunDir& run, const Session& s, const EvalResult& result) {
    write_array(run, "eval_windows.f32", result.window_loss);
    const data::Dataset& dataset = s.dataset();
    const std::vector<int64_t> documents =
        data::window_documents(dataset.val, s.eval_starts, dataset.meta.eot);
    if (!documents.empty()) write_array(run, "eval_documents.i64", documents);
}

/// The model with the weights it begins with.
void build_initial(Session& s, const TrainRequest& request) {
    build_model(s);
    if (!request.init_from.empty()) load_initial_weights(s, request.init_from);
}

/// The plan, then one forward, backward and optimizer step on made-up tokens, on the CPU; nothing
/// is written.
TrainOutcome dry_run(Session& s) {
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

/// What the device could do a second with products of the run's type; where that is not known the
/// run says why it has no mfu.
std::optional<double> peak_flops(const Session& s) {
    if (s.device.is_cpu()) return std::nullopt;
    const std::string name = model::device_name(s.device);
    const std::optional<double> peak = s.bf16() ? model::bf16_peak(name) : std::nullopt;
    if (!peak)
        log::info("mfu n/a: the {} peak of '{}' is not known", s.bf16() ? "bfloat16" : "float32",
                  name);
    return peak;
}

/// Runs the loop and what follows it; a failure is recorded in the run directory before it goes on.
TrainOutcome run_recorded(Session& s, RunState& state, Recorder& recorder,
                          const TrainRequest& request, config::Symbols& symbols) {
    const fs::path path = recorder.run().path();
    s.peak_flops = peak_flops(s);
    const track::SystemStats stats(recorder.run(), s.train.sys_monitor_s, state.elapsed_s);
    TrainOutcome outcome{.run_directory = path};
    const auto record = [&](int status, const std::string& code, const std::string& text) {
        recorder.failed(status, code, text);
        track::index_run(s.general.output_dir, path);
    };
    const auto steps = [&] {
        if (s.train.sanity_overfit && state.step == 0) require_sanity(s);
        Loop loop(s, state, recorder, request, symbols.hash());
        outcome.status = loop.run();
        if (outcome.status == 0) {
            write_eval_windows(recorder.run(), s, loop.final_eval());
            // Done is said last: a run that is killed before goes on and writes the rest.
            if (write_sample(s, recorder.run()))
                recorder.finish(loop.final_event());
            else
                outcome.status = loop.stop();
        }
    };
    try {
        while (!first_passes_fit(s, state, steps)) {
            shrink_batch(s);
            log::warn("{}", s.warnings.back());
            build_initial(s, request);
            write_configuration(recorder.run(), symbols, s.choices);
            recorder.describe(describe(s, request, symbols), describe_details(s));
        }
    } catch (const Error& error) {
        // A run that is another's by now says nothing about this attempt.
        if (error.kind() != kLocked) record(exit_status(error.kind()), error.code(), error.what());
        throw;
    } catch (const std::bad_alloc&) {
        const std::string text = fmt::format(
            "out of memory: {} held, {} at the peak; lower BATCH_SIZE and "
            "accumulate instead, or set LOSS_CHUNK",
            bytes_text(resident_bytes()), bytes_text(peak_resident_bytes()));
        record(4, "E_MEMORY", text);
        fail_code(kRun, "E_MEMORY", "{}", text);
    } catch (const std::exception& error) {
        const std::string text = model::torch_error_text(error);
        if (text.empty()) throw;
        const bool memory = text.find("memory") != std::string::npos;
        record(4, memory ? "E_MEMORY" : "E_RUN", text);
        if (!memory) throw;
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
    Session s = prepare_session(symbols, request, request.choices.value_or(Choices{}));
    plan_resources(s, request, request.out.empty() ? output : request.out);
    const auto passes = [&] {
        build_initial(s, request);
        if (!request.dry_run) measure_time(s, request, 0, 0);
    };
    while (!first_passes_fit(s, {}, passes)) shrink_batch(s);
    if (request.dry_run) return dry_run(s);

    track::Manifest manifest = describe(s, request, symbols);
    manifest.first_weights = model::weight_digests(*s.gpt2);
    track::RunDir run = track::RunDir::create(output, run_name(s), request.out);
    run.lock();
    if (request.still_ours) run.also_require(request.still_ours);
    log::open_run_log(run.file("output.log"));
    write_configuration(run, symbols, s.choices);
    write_tokenizer(run, s);
    print_substitute(s);
    print_banner(s, run.path().string(), 0);
    Recorder recorder(run, std::move(manifest), describe_details(s), s.train.tensorboard);
    recorder.begin(0);
    track::index_run(output, run.path());  // one killed later can be found by --resume
    RunState state;
    return run_recorded(s, state, recorder, request, symbols);
}

TrainOutcome go_on(config::Symbols& symbols, const TrainRequest& request) {
    track::RunDir run = track::RunDir::open(request.resume);
    run.lock();
    if (request.still_ours) run.also_require(request.still_ours);
    require_writable(run.path());
    Resumed resumed = resume_session(symbols, request);
    Session& s = resumed.session;
    if (request.dry_run) return dry_run(s);
    RunState state = resumed.state;
    measure_time(s, resumed.asked, state.step, state.elapsed_s);
    track::Manifest manifest = describe(s, resumed.asked, symbols);

    log::open_run_log(run.file("output.log"));
    clean_checkpoints(run.path(), resumed.from_checkpoint ? state.step : -1);
    if (!resumed.from_checkpoint)
        log::warn("{}: no checkpoint to go on from; beginning again", run.path().string());
    write_configuration(run, symbols, s.choices);
    write_tokenizer(run, s);
    print_substitute(s);
    print_banner(s, run.path().string(), state.step);
    if (resumed.from_checkpoint && !resumed.parent.path.empty())
        manifest.parents = {resumed.parent};
    manifest.attempt = std::move(resumed.changes.attempt);
    Recorder recorder(run, std::move(manifest), describe_details(s), s.train.tensorboard);
    recorder.begin(state.metrics_offset, resumed.changes.notes);
    track::index_run(s.general.output_dir, run.path());
    return run_recorded(s, state, recorder, resumed.asked, symbols);
}

/// The weights a new run would begin with, or those of the newest checkpoint; nothing is written.
TrainOutcome evaluate_only(const config::Symbols& symbols, const TrainRequest& request) {
    Resumed from;
    if (!request.resume.empty()) {
        track::RunDir::open(request.resume);
        from = resume_session(symbols, request);
    } else {
        from.session = prepare_session(symbols, request, {});
        plan_resources(from.session, request, {});
        build_initial(from.session, request);
    }
    Session& s = from.session;
    for (const std::string& note : from.changes.notes) log::warn("{}", note);
    for (const std::string& warning : s.warnings) log::warn("{}", warning);
    print_substitute(s);
    Measured measured{.step = from.state.step, .batches_sha256 = s.eval_sha256};
    measured.eval = evaluate_windows(*s.gpt2, s.dataset().val, s.eval_starts, s.batch.micro,
                                     s.train.eval_precision, [] { return stop_signal() != 0; });
    if (!measured.eval.complete) return {.status = stop_exit_status(stop_signal())};
    return {.measured = std::move(measured)};
}

}  // namespace

TrainOutcome run_training(config::Symbols& symbols, const TrainRequest& request) {
    if (!request.resume.empty() && !request.init_from.empty())
        fail(kUsage,
             "--resume goes on with a run and --init-from starts a new one; give one of them");
    if (request.eval_only && !request.dry_run) return evaluate_only(symbols, request);
    const TrainOutcome outcome =
        request.resume.empty() ? start_run(symbols, request) : go_on(symbols, request);
    log::close_run_log();
    return outcome;
}

}  // namespace knlp::train
