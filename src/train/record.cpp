#include "record.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/track/tensorboard.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>

namespace knlp::train {

namespace {

constexpr double kHeartbeat_s = 30;
constexpr size_t kErrorTail = 50;  // lines of output.log in error.txt

double perplexity(double loss) {
    return std::exp(std::min(loss, 20.0));
}

std::optional<double> known(double value) {
    return std::isfinite(value) ? std::optional<double>(value) : std::nullopt;
}

std::string last_lines(const std::string& text, size_t count) {
    size_t at = text.size();
    for (size_t seen = 0; at > 0; --at)
        if (text[at - 1] == '\n' && at != text.size() && ++seen == count) break;
    return text.substr(at);
}

std::map<std::string, double> final_scalars(const FinalEvent& e, std::optional<int64_t> n_ctx) {
    std::map<std::string, double> scalars = {{"final_val_loss", e.val_loss},
                                             {"final_val_perplexity", perplexity(e.val_loss)},
                                             {"best_val_loss", e.best.val_loss},
                                             {"best_val_perplexity", perplexity(e.best.val_loss)}};
    if (n_ctx && e.cache_bytes_per_token > 0)
        scalars[fmt::format("kv_cache/seq{}_mb", *n_ctx)] =
            static_cast<double>(e.cache_bytes_per_token) * static_cast<double>(*n_ctx) / 1e6;
    return scalars;
}

}  // namespace

struct Recorder::State {
    track::RunDir run;
    track::Manifest manifest;
    nlohmann::json extra;
    bool mirror = false;
    std::unique_ptr<track::MetricsLog> metrics;
    std::unique_ptr<track::TensorboardWriter> tensorboard;
    double last_heartbeat = 0;

    void write_manifest() {
        track::write_manifest(run, manifest);
        if (extra.empty()) return;
        nlohmann::json whole = track::read_manifest(run.path());
        whole.merge_patch(extra);
        run.write("manifest.json", pretty_json(whole));
    }
    /// Speed and cost in manifest and summary.
    std::optional<double> add_cost(const Cost& cost) {
        manifest.wall_s = cost.wall_s;
        manifest.tokens_per_s = track::logged_tokens_per_s(track::read_metrics(run.path()));
        manifest.peak_rss_bytes = cost.peak_rss_bytes;
        return manifest.tokens_per_s;
    }
    void scalars(int64_t step, const std::map<std::string, double>& values) {
        if (tensorboard) tensorboard->add(step, wall_seconds(), values);
    }
};

Recorder::Recorder(track::RunDir run, track::Manifest manifest, std::string extra, bool tensorboard)
    : state_(new State{.run = std::move(run),
                       .manifest = std::move(manifest),
                       .extra = nlohmann::json::parse(extra),
                       .mirror = tensorboard}) {}

Recorder::~Recorder() = default;

const track::RunDir& Recorder::run() const {
    return state_->run;
}
int64_t Recorder::metrics_bytes() const {
    return state_->metrics->bytes();
}

void Recorder::sync_metrics() const {
    state_->metrics->sync();
}

void Recorder::begin(int64_t metrics_offset, const std::vector<std::string>& notes) {
    State& s = *state_;
    // A file that is gone is refused like one that was cut: the curve would begin in the middle.
    if (metrics_offset > 0 || std::filesystem::exists(s.run.file("metrics.jsonl")))
        track::MetricsLog::truncate(s.run, metrics_offset);
    s.metrics = std::make_unique<track::MetricsLog>(s.run);
    if (s.mirror) s.tensorboard = std::make_unique<track::TensorboardWriter>(s.run.path());
    // What an earlier attempt came to no longer holds.
    std::error_code absent;
    std::filesystem::remove(s.run.file("summary.json"), absent);
    s.manifest.state = "running";
    for (const std::string& note : notes) warn(s.manifest.attempt.from_step, note);
    s.write_manifest();
    track::write_status(s.run, "running");
    s.last_heartbeat = steady_seconds();
}

void Recorder::train(const TrainEvent& e) {
    State& s = *state_;
    const int64_t resident = resident_bytes();
    nlohmann::json fields = {{"step", e.step},
                             {"tokens", e.tokens},
                             {"loss", e.loss},
                             {"lr", e.lr},
                             {"grad_norm", e.grad_norm},
                             {"clip", e.clip},
                             {"bad_steps", e.bad_steps},
                             {"tokens_per_s", e.tokens_per_s},
                             {"elapsed_s", e.elapsed_s},
                             {"rss_bytes", resident},
                             {"ms",
                              {{"data", e.ms.data},
                               {"fwd", e.ms.forward},
                               {"bwd", e.ms.backward},
                               {"opt", e.ms.optimizer}}}};
    std::map<std::string, double> scalars = {
        {"train_loss", e.loss},           {"train_perplexity", perplexity(e.loss)},
        {"learning_rate", e.lr},          {"grad_norm", e.grad_norm},
        {"tokens_per_s", e.tokens_per_s}, {"sys/rss_gb", static_cast<double>(resident) / 1e9}};
    if (e.mfu) fields["mfu"] = scalars["mfu"] = *e.mfu;
    s.metrics->append("train", std::move(fields));
    s.scalars(e.step, scalars);
    heartbeat();
}

void Recorder::eval(const EvalEvent& e) {
    State& s = *state_;
    s.metrics->append("eval", {{"step", e.step},
                               {"tokens", e.tokens},
                               {"train_loss", e.train_loss},
                               {"val_loss", e.val_loss},
                               {"val_ppl", perplexity(e.val_loss)},
                               {"val_se", e.val_se},
                               {"eval_tokens", e.eval_tokens},
                               {"batches_sha256", e.batches_sha256},
                               {"best", e.best},
                               {"eval_s", e.seconds},
                               {"elapsed_s", e.elapsed_s}});
    s.scalars(e.step, {{"val_loss", e.val_loss}, {"val_perplexity", perplexity(e.val_loss)}});
    heartbeat();
}

void Recorder::checkpoint(int64_t step) {
    state_->metrics->append("ckpt", {{"step", step}});
}

void Recorder::warn(int64_t step, const std::string& text) {
    log::warn("{}", text);
    state_->manifest.warnings.push_back(text);
    state_->metrics->append("warn", {{"step", step}, {"text", text}});
}

void Recorder::describe(track::Manifest manifest, const std::string& extra) {
    State& s = *state_;
    manifest.state = s.manifest.state;
    manifest.startup_s = s.manifest.startup_s;
    manifest.attempt = std::move(s.manifest.attempt);
    s.manifest = std::move(manifest);
    s.extra = nlohmann::json::parse(extra);
    s.write_manifest();
}

void Recorder::started_after(double seconds) {
    state_->manifest.startup_s = seconds;
}

void Recorder::finish(const FinalEvent& e) {
    State& s = *state_;
    const std::optional<double> speed = s.add_cost(e.cost);
    nlohmann::json fields = {{"step", e.step},
                             {"tokens", e.tokens},
                             {"val_loss", e.val_loss},
                             {"val_se", e.val_se},
                             {"best_step", e.best.step},
                             {"best_val_loss", e.best.val_loss},
                             {"params", e.parameters},
                             {"params_trainable", e.parameters},
                             {"cache_bytes_per_token", e.cache_bytes_per_token},
                             {"wall_s", e.cost.wall_s},
                             {"tokens_per_s", speed ? nlohmann::json(*speed) : nlohmann::json()},
                             {"peak_rss_bytes", e.cost.peak_rss_bytes},
                             {"exit", e.exit}};
    s.metrics->append("final", fields);
    s.scalars(e.step, final_scalars(e, s.manifest.batch.n_ctx));
    track::write_summary(s.run,
                         {.final_train_loss = known(e.train_loss),
                          .final_val_loss = known(e.val_loss),
                          .final_val_se = known(e.val_se),
                          .best_val_loss = known(e.best.val_loss),
                          .final_bits_per_byte = known(e.bits_per_byte),
                          .best_step = e.best.step >= 0 ? std::optional(e.best.step) : std::nullopt,
                          .steps = e.step,
                          .tokens = e.tokens,
                          .parameters = e.parameters,
                          .total_time_s = e.cost.wall_s,
                          .train_time_s = e.cost.train_s,
                          .eval_time_s = e.cost.eval_s,
                          .save_time_s = e.cost.save_s,
                          .startup_s = e.cost.startup_s,
                          .tokens_per_s = speed,
                          .peak_rss_bytes = e.cost.peak_rss_bytes,
                          .peak_rss_outside_saves_bytes = e.cost.peak_rss_outside_saves_bytes,
                          .exit = e.exit});
    s.manifest.state = "done";
    s.manifest.ended = utc_now();
    s.manifest.exit_code = 0;
    if (std::isfinite(e.val_loss)) s.manifest.result["final_val_loss"] = e.val_loss;
    if (std::isfinite(e.best.val_loss)) s.manifest.result["best_val_loss"] = e.best.val_loss;
    s.manifest.result["steps"] = static_cast<double>(e.step);
    s.write_manifest();
    track::write_status(s.run, "done");
}

void Recorder::stopped(int signal, int exit_code, const RunState& state, const Cost& cost) {
    State& s = *state_;
    const std::optional<double> speed = s.add_cost(cost);
    s.manifest.state = "preempted";
    s.manifest.ended = utc_now();
    s.manifest.exit_code = exit_code;
    s.write_manifest();
    track::write_summary(
        s.run, {.final_val_loss = known(state.last_val_loss),
                .best_val_loss = known(state.best.val_loss),
                .best_step = state.best.step >= 0 ? std::optional(state.best.step) : std::nullopt,
                .steps = state.step,
                .tokens = state.tokens,
                .parameters = s.manifest.parameters.total.value_or(0),
                .total_time_s = cost.wall_s,
                .train_time_s = cost.train_s,
                .eval_time_s = cost.eval_s,
                .save_time_s = cost.save_s,
                .startup_s = cost.startup_s,
                .tokens_per_s = speed,
                .peak_rss_bytes = cost.peak_rss_bytes,
                .peak_rss_outside_saves_bytes = cost.peak_rss_outside_saves_bytes,
                .exit = "signal"});
    track::write_status(s.run, "preempted", exit_code, signal,
                        fmt::format("signal at step {}", state.step));
}

void Recorder::failed(int exit_code, const std::string& code, const std::string& text) {
    State& s = *state_;
    // Called while an error is on its way: another one, such as a full disk, must not hide it.
    try {
        s.manifest.state = "failed";
        s.manifest.ended = utc_now();
        s.manifest.exit_code = exit_code;
        s.write_manifest();
        track::write_status(s.run, "failed", exit_code, 0, text, code);
        const std::filesystem::path output = s.run.file("output.log");
        const std::string tail =
            std::filesystem::exists(output) ? last_lines(read_file(output), kErrorTail) : "";
        s.run.write("error.txt", fmt::format("command: {}\nstatus: {}\nerror: {}\n\n{}",
                                             s.manifest.command_line, exit_code, text, tail));
    } catch (const Error& second) {
        log::warn("the failure could not be recorded: {}", second.what());
    }
}

void Recorder::heartbeat() {
    State& s = *state_;
    if (steady_seconds() - s.last_heartbeat < kHeartbeat_s) return;
    s.last_heartbeat = steady_seconds();
    try {
        track::write_status(s.run, "running");
    } catch (const Error& error) {
        if (error.kind() == kLocked) throw;
        // A full disk must not end a run that only wants to say that it lives.
        log::warn("status not renewed: {}", error.what());
    }
}

track::Manifest::Parent manifest_parent(const std::filesystem::path& run_directory,
                                        const std::string& kind) {
    const nlohmann::json manifest = track::read_manifest(run_directory);
    const auto parents = manifest.find("parents");
    if (parents == manifest.end() || !parents->is_array()) return {};
    for (const nlohmann::json& parent : *parents) {
        if (!parent.is_object() || parent.value("kind", "") != kind) continue;
        const auto sha256 = parent.find("sha256");
        return {.kind = kind,
                .path = parent.value("path", ""),
                .sha256 = sha256 != parent.end() && sha256->is_string() ? sha256->get<std::string>()
                                                                        : ""};
    }
    return {};
}

}  // namespace knlp::train
