#include "state.h"

#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/model/model_json.h"

#include <nlohmann/json.hpp>

#include <cmath>

namespace knlp::train {

namespace {

using nlohmann::json;

constexpr int64_t kSchema = 2;

/// JSON has no NaN or infinity: null stands for "none yet".
json finite_or_null(double value) {
    return std::isfinite(value) ? json(value) : json(nullptr);
}

double number_or(const json& value, double absent) {
    return value.is_null() ? absent : value.get<double>();
}

json window_json(const Window& window) {
    return {{"loss", window.loss}, {"steps", window.steps}};
}

Window window_from(const json& value) {
    return {.loss = value.at("loss").get<double>(), .steps = value.at("steps").get<int64_t>()};
}

json run_json(const RunState& s) {
    return {{"step", s.step},
            {"tokens_seen", s.tokens},
            {"batch_counter", s.step},
            {"elapsed_s", s.elapsed_s},
            {"train_s", s.train_s},
            {"eval_s", s.eval_s},
            {"save_s", s.save_s},
            {"best_val_loss", finite_or_null(s.best.val_loss)},
            {"best_step", s.best.step},
            {"last_val_loss", finite_or_null(s.last_val_loss)},
            {"last_eval_step", s.last_eval_step},
            {"last_logged_step", s.last_logged_step},
            {"since_log", window_json(s.since_log)},
            {"since_eval", window_json(s.since_eval)},
            {"recent_losses", s.recent.losses},
            {"bad_in_a_row", s.bad_in_a_row},
            {"bad_total", s.bad_total},
            {"metrics_offset", s.metrics_offset},
            {"unrecorded_save", s.unrecorded_save}};
}

RunState run_from(const json& j) {
    RunState s;
    s.step = j.at("step").get<int64_t>();
    s.tokens = j.at("tokens_seen").get<int64_t>();
    s.elapsed_s = j.at("elapsed_s").get<double>();
    s.train_s = j.at("train_s").get<double>();
    s.eval_s = j.at("eval_s").get<double>();
    s.save_s = j.at("save_s").get<double>();
    s.best.val_loss = number_or(j.at("best_val_loss"), std::numeric_limits<double>::infinity());
    s.best.step = j.at("best_step").get<int64_t>();
    s.last_val_loss = number_or(j.at("last_val_loss"), std::numeric_limits<double>::quiet_NaN());
    s.last_eval_step = j.at("last_eval_step").get<int64_t>();
    s.last_logged_step = j.at("last_logged_step").get<int64_t>();
    s.since_log = window_from(j.at("since_log"));
    s.since_eval = window_from(j.at("since_eval"));
    if (j.contains("recent_losses"))  // checkpoints of before have none
        s.recent.losses = j.at("recent_losses").get<std::vector<double>>();
    s.bad_in_a_row = j.at("bad_in_a_row").get<int64_t>();
    s.bad_total = j.at("bad_total").get<int64_t>();
    s.metrics_offset = j.at("metrics_offset").get<int64_t>();
    s.unrecorded_save = j.at("unrecorded_save").get<int64_t>();
    return s;
}

Choices choices_from(const json& j) {
    Choices c = {.threads = j.at("threads").get<int64_t>(),
                 .isa = j.at("isa").get<std::string>(),
                 .gemm = j.at("gemm").get<std::string>(),
                 .micro = j.at("batch").get<int64_t>(),
                 .accumulation = j.at("accumulation").get<int64_t>()};
    // Checkpoints of before have none.
    if (const auto found = j.find("bf16_dot_products"); found != j.end() && !found->is_null())
        c.bf16_dot_products = found->get<bool>();
    return c;
}

void check_state(const RunState& s, const std::string& where) {
    if (s.step < 0 || s.tokens < 0 || s.metrics_offset < 0 || !std::isfinite(s.elapsed_s) ||
        s.elapsed_s < 0 || !std::isfinite(s.train_s) || s.train_s < 0)
        fail(kData, "{}: step {}, {} tokens, {} bytes of metrics, {} s: none may be negative",
             where, s.step, s.tokens, s.metrics_offset, s.elapsed_s);
}

}  // namespace

double Window::mean() const {
    return steps > 0 ? loss / static_cast<double>(steps) : std::numeric_limits<double>::quiet_NaN();
}

void Window::add(double value) {
    loss += value;
    ++steps;
}

double RecentLosses::add(double loss) {
    double z = 0;
    if (losses.size() >= kSteps) {
        const double n = static_cast<double>(losses.size());
        double mean = 0, variance = 0;
        for (const double value : losses) mean += value / n;
        for (const double value : losses) variance += (value - mean) * (value - mean) / (n - 1);
        if (variance > 0) z = (loss - mean) / std::sqrt(variance);
        losses.erase(losses.begin());
    }
    losses.push_back(loss);
    return z;
}

std::string state_text(const StateFile& file) {
    json whole = run_json(file.state);
    whole["schema"] = kSchema;
    whole["resume"] = run_json(file.resume);
    whole["threads"] = file.choices.threads;
    whole["isa"] = file.choices.isa;
    whole["bf16_dot_products"] =
        file.choices.bf16_dot_products ? json(*file.choices.bf16_dot_products) : json(nullptr);
    whole["gemm"] = file.choices.gemm;
    whole["batch"] = file.choices.micro;
    whole["accumulation"] = file.choices.accumulation;
    config::to_json(whole["model"], file.model);
    whole["variant"] = file.model.attention;
    whole["tokenizer"] = "../../tokenizer";
    whole["optimizer"] = file.optimizer;
    whole["optimizer_scalars"] = json::parse(file.optimizer_scalars);
    whole["config_sha256"] = file.config_sha256;
    whole["git"] = file.git;
    whole["schedule"] = file.schedule;
    // Every stream is a function of the seed and a counter, so this is all there is to store.
    whole["rng"] = {{"kind", "philox4x32-10"}, {"seed", file.seed}, {"counter", file.state.step}};
    return pretty_json(whole);
}

StateFile read_state_file(const std::filesystem::path& path) {
    const json whole = read_json(path);
    StateFile file;
    try {
        if (const auto schema = whole.at("schema").get<int64_t>(); schema != kSchema)
            fail(kData, "{}: schema {} is not known here, {} was expected", path.string(), schema,
                 kSchema);
        file.state = run_from(whole);
        file.resume = run_from(whole.at("resume"));
        file.choices = choices_from(whole);
        config::from_json(whole.at("model"), file.model);
        file.optimizer = whole.at("optimizer").get<std::string>();
        file.optimizer_scalars = whole.at("optimizer_scalars").dump();
        file.config_sha256 = whole.at("config_sha256").get<std::string>();
        file.git = whole.at("git").get<std::string>();
        file.schedule = whole.at("schedule").get<std::string>();
        file.seed = whole.at("rng").at("seed").get<uint64_t>();
    } catch (const json::exception& error) {
        fail(kData, "{}: not the state of a run: {}", path.string(), error.what());
    }
    check_state(file.state, path.string());
    check_state(file.resume, path.string());
    const Choices& c = file.choices;
    if (c.threads < 1 || c.micro < 1 || c.accumulation < 1)
        fail(kData, "{}: {} threads, batch {}, accumulation {}: each must be at least 1",
             path.string(), c.threads, c.micro, c.accumulation);
    return file;
}

std::string model_text(const config::Model& model) {
    json value;
    config::to_json(value, model);
    return value.dump();
}

}  // namespace knlp::train
