#include "knlp/track/manifest.h"

#include "knlp/config/build_info.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/track/recorded.h"

#include <nlohmann/json.hpp>
#include <sqlite3.h>

#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace knlp::track {

using nlohmann::json;

namespace {

constexpr int kSchema = 1;

json known(const std::string& text) {
    return text.empty() ? json(nullptr) : json(text);
}

template <class T>
json known(const std::optional<T>& value) {
    return value ? json(*value) : json(nullptr);
}

std::string binary_sha256() {
    try {
        return sha256_file("/proc/self/exe");
    } catch (const Error&) {
        return "";
    }
}

/// {"USE_CUDA":"n",…} of this binary.
json build_symbols() {
    json symbols = json::object();
    const std::string_view text = config::embedded_build_config();
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view line = text.substr(begin, end - begin);
        const size_t equals = line.find('=');
        if (line.starts_with("CONFIG_") && equals != std::string_view::npos)
            symbols[std::string(line.substr(7, equals - 7))] = std::string(line.substr(equals + 1));
        begin = end + 1;
    }
    return symbols;
}

json host_json() {
    const Host& h = host();
    return {{"os", known(h.os)},
            {"kernel", known(h.kernel)},
            {"cpu_model", known(h.cpu_model)},
            {"governor", known(h.governor)},
            {"cores", h.cores},
            {"gpus", h.gpus},
            {"gpu_driver", known(h.gpu_driver)},
            {"memory_bytes", h.memory_bytes > 0 ? json(h.memory_bytes) : json(nullptr)}};
}

json libraries_json(const Manifest& m) {
    return {
        {"torch", known(m.torch_version)},
        {"fmt",
         fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
        {"nlohmann_json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                      NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)},
        {"sqlite", sqlite3_libversion()}};
}

json files_json(const std::vector<Manifest::File>& from) {
    json files = json::array();
    for (const Manifest::File& f : from)
        files.push_back({{"role", f.role},
                         {"path", recorded_path(f.path)},
                         {"sha256", known(f.sha256)},
                         {"bytes", known(f.bytes)}});
    return files;
}

json data_json(const Manifest& m) {
    return {{"wanted", known(m.data.wanted)},
            {"name", known(m.data.name)},
            {"directory", known(recorded_path(m.data.directory))},
            {"substitute", known(recorded_command(m.data.substitute))},
            {"synthetic", m.data.synthetic},
            {"entropy_nats", known(m.data.entropy_nats)},
            {"package_version", known(m.data.package_version)},
            {"files", files_json(m.data.files)},
            {"train_tokens", known(m.data.train_tokens)},
            {"val_tokens", known(m.data.val_tokens)}};
}

/// What earlier attempts were warned of comes first; nothing twice.
json all_warnings(const json& before, const std::vector<std::string>& now) {
    json all = json::array();
    if (before.is_array()) all = before;
    for (const std::string& said : now) {
        const std::string text = recorded_command(said);
        if (std::find(all.begin(), all.end(), text) == all.end()) all.push_back(text);
    }
    return all;
}

json timing_json(const Manifest::GemmTiming& timing) {
    if (timing.seconds.empty()) return nullptr;
    return {{"route", timing.route}, {"shapes", timing.shapes}, {"seconds", timing.seconds}};
}

json manifest_json(const RunDir& run, const Manifest& m) {
    const config::BuildInfo& build = config::build_info();
    json parents = json::array();
    for (const Manifest::Parent& p : m.parents)
        parents.push_back(
            {{"kind", p.kind}, {"path", recorded_path(p.path)}, {"sha256", known(p.sha256)}});
    return {{"schema", kSchema},
            {"run_id", run.id()},
            {"state", m.state},
            {"command_line", known(recorded_command(m.command_line))},
            {"preset", known(m.preset)},
            {"model", known(m.model)},
            {"optimizer", known(m.optimizer)},
            {"config_sha256", known(m.config_sha256)},
            {"experiment_sha256", known(m.experiment_sha256)},
            {"knlp_version", build.version},
            {"git_commit", known(std::string(build.git_commit))},
            {"git_dirty", build.git_dirty},
            {"git_diff_sha256", known(std::string(build.git_diff_sha256))},
            {"compiler", build.compiler},
            {"build_type", build.build_type},
            {"build_flags", build.flags},
            {"build_symbols", build_symbols()},
            {"build_config_sha256", build.build_config_sha256},
            {"binary_sha256", known(binary_sha256())},
            {"torch_version", known(m.torch_version)},
            {"libraries", libraries_json(m)},
            {"host", host_json()},
            {"isa", name_of(isa())},
            {"bf16_dot_products", known(m.bf16_dot_products)},
            {"device", known(m.device)},
            {"precision", known(m.precision)},
            {"gemm_route", known(m.gemm_route)},
            {"gemm_timing", timing_json(m.gemm_timing)},
            {"threads", known(m.threads)},
            {"seeds", m.seeds},
            {"data", data_json(m)},
            {"tokenizer",
             {{"kind", known(m.tokenizer.kind)},
              {"sha256", known(m.tokenizer.sha256)},
              {"vocab_size", known(m.tokenizer.vocab_size)}}},
            {"parameters",
             {{"total", known(m.parameters.total)},
              {"trainable", known(m.parameters.trainable)},
              {"modules", m.parameters.modules}}},
            {"batch",
             {{"effective", known(m.batch.effective)},
              {"micro", known(m.batch.micro)},
              {"accumulation", known(m.batch.accumulation)},
              {"world_size", m.batch.world_size},
              {"n_ctx", known(m.batch.n_ctx)}}},
            {"budgets",
             {{"max_iters", known(m.budgets.max_iters)},
              {"max_tokens", known(m.budgets.max_tokens)},
              {"max_time_s", known(m.budgets.max_time_s)}}},
            {"first_weights", m.first_weights.empty() ? json(nullptr) : json(m.first_weights)},
            {"parents", parents},
            {"warnings", all_warnings(json(), m.warnings)},
            {"started", known(m.started)},
            {"ended", known(m.ended)},
            {"wall_s", known(m.wall_s)},
            {"startup_s", known(m.startup_s)},
            {"tokens_per_s", known(m.tokens_per_s)},
            {"energy_j", known(m.energy_j)},
            {"peak_rss_bytes", known(m.peak_rss_bytes)},
            {"peak_gpu_bytes", known(m.peak_gpu_bytes)},
            {"batches_sha256", known(m.batches_sha256)},
            {"eval_windows", known(m.eval_windows)},
            {"eval_window_tokens", known(m.eval_window_tokens)},
            {"result", m.result.empty() ? json(nullptr) : json(m.result)},
            {"exit_code", known(m.exit_code)}};
}

std::optional<double> perplexity(std::optional<double> loss) {
    if (!loss) return std::nullopt;
    return std::exp(std::min(*loss, 20.0));
}

/// True when the last of them is the one that writes now.
bool is_current(const json& attempts, const std::string& process, const Manifest& m) {
    if (attempts.empty() || !attempts.back().is_object()) return false;
    const json& last = attempts.back();
    const bool ended = last.contains("ended") && !last["ended"].is_null();
    return last.value("process", json()) == process && !(ended && m.ended.empty());
}

/// One entry for each attempt at the run; the last one is this one's.
void add_attempt(json& attempts, const json& whole, const Manifest& m) {
    const std::string me = process_key();
    if (!is_current(attempts, me, m))
        attempts.push_back({{"process", me},
                            {"command_line", known(recorded_command(m.command_line))},
                            {"git_commit", whole["git_commit"]},
                            {"binary_sha256", whole["binary_sha256"]},
                            {"libraries", whole["libraries"]},
                            {"started", utc_now()}});
    json& attempt = attempts.back();
    json changed = json::array();
    for (const Manifest::Change& change : m.attempt.changed_symbols)
        changed.push_back(
            {{"name", change.name}, {"old", known(change.before)}, {"new", known(change.now)}});
    attempt["from_step"] = m.attempt.from_step;
    attempt["config_sha256"] = whole["config_sha256"];
    attempt["budgets"] = whole["budgets"];
    attempt["changed_symbols"] = std::move(changed);
    attempt["replaced_data"] = files_json(m.attempt.replaced_data);
    attempt["startup_s"] = known(m.startup_s);
    attempt["ended"] = known(m.ended);
    attempt["exit_code"] = known(m.exit_code);
}

}  // namespace

void write_manifest(const RunDir& run, const Manifest& manifest) {
    json whole = manifest_json(run, manifest);
    json attempts = json::array();
    std::string started = manifest.started;
    if (std::filesystem::exists(run.file("manifest.json"))) {
        const json before = read_manifest(run.path());
        if (started.empty() && before.contains("started") && before["started"].is_string())
            started = before["started"];
        if (before.contains("attempts") && before["attempts"].is_array())
            attempts = before["attempts"];
        whole["warnings"] = all_warnings(before.value("warnings", json()), manifest.warnings);
        if (manifest.first_weights.empty())
            whole["first_weights"] = before.value("first_weights", json());
        if (manifest.gemm_timing.seconds.empty())
            whole["gemm_timing"] = before.value("gemm_timing", json());
    }
    add_attempt(attempts, whole, manifest);
    whole["attempts"] = std::move(attempts);
    whole["started"] = started.empty() ? utc_now() : started;
    run.write("manifest.json", pretty_json(whole));
}

json read_manifest(const std::filesystem::path& run_directory) {
    const std::filesystem::path path = run_directory / "manifest.json";
    json manifest = read_json(path, int64_t{64} << 20);
    if (!manifest.is_object()) fail(kData, "{}: a JSON object is wanted", path.string());
    return manifest;
}

void write_summary(const RunDir& run, const Summary& s) {
    const json summary = {{"final_train_loss", known(s.final_train_loss)},
                          {"final_val_loss", known(s.final_val_loss)},
                          {"final_val_se", known(s.final_val_se)},
                          {"final_val_perplexity", known(perplexity(s.final_val_loss))},
                          {"final_bits_per_byte", known(s.final_bits_per_byte)},
                          {"best_val_loss", known(s.best_val_loss)},
                          {"best_val_perplexity", known(perplexity(s.best_val_loss))},
                          {"best_step", known(s.best_step)},
                          {"steps", s.steps},
                          {"tokens", s.tokens},
                          {"parameters", s.parameters},
                          {"total_time", s.total_time_s},
                          {"train_time", s.train_time_s},
                          {"eval_time", s.eval_time_s},
                          {"save_time", s.save_time_s},
                          {"startup_s", known(s.startup_s)},
                          {"tokens_per_s", known(s.tokens_per_s)},
                          {"peak_rss_bytes", known(s.peak_rss_bytes)},
                          {"peak_rss_outside_saves_bytes", known(s.peak_rss_outside_saves_bytes)},
                          {"exit", known(s.exit)},
                          {"final_accuracy", nullptr},
                          {"best_accuracy", nullptr},
                          {"final_sparsity", nullptr}};
    run.write("summary.json", pretty_json(summary));
}

}  // namespace knlp::track
