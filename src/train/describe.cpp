#include "describe.h"

#include "knlp/config/symbols.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/text.h"
#include "knlp/model/model_files.h"
#include "knlp/model/runtime.h"
#include "knlp/model/weights.h"
#include "text.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace knlp::train {

namespace {

const char* name_of(config::Schedule schedule) {
    switch (schedule) {
        case config::Schedule::kCosine:
            return "cosine";
        case config::Schedule::kLinear:
            return "linear";
        case config::Schedule::kWsd:
            return "wsd";
        case config::Schedule::kConstant:
            break;
    }
    return "constant";
}

const char* name_of(config::Precision precision) {
    return precision == config::Precision::kBfloat16 ? "bfloat16" : "float32";
}

const char* schedule_name(const config::Train& train) {
    return train.decay_lr ? name_of(train.schedule) : "constant";
}

/// "h.0.attn.c_attn.weight" counts for "h.0.attn", "wte.weight" for "wte".
std::string module_of(const std::string& parameter) {
    const size_t last = parameter.rfind('.');
    const size_t before = parameter.rfind('.', last - 1);
    return parameter.substr(0, parameter.starts_with("h.") ? before : last);
}

std::string budget_text(const config::Train& train) {
    std::vector<std::string> parts;
    if (train.max_iters > 0) parts.push_back(count_text(train.max_iters) + " steps");
    if (train.max_tokens > 0) parts.push_back(count_text(train.max_tokens) + " tokens");
    if (train.max_time_s > 0) parts.push_back(duration_text(train.max_time_s));
    return fmt::format("{}", fmt::join(parts, " or "));
}

nlohmann::json spam_json(const config::Optimizer& o) {
    if (o.name != "adamw_spam") return nullptr;
    return {{"mode", o.spam_knlp ? "knlp" : "paper"},
            {"theta", o.spam_theta},
            {"clip", o.spam_clip},
            {"interval", o.spam_interval},
            {"warmup_steps", o.spam_warmup_steps},
            {"grace_steps", o.spam_grace_steps},
            {"reset_bias", o.spam_reset_bias},
            {"amsgrad", o.spam_amsgrad},
            {"zscore", o.spam_zscore},
            {"spike_threshold", o.spam_spike_threshold},
            {"zscore_window", o.spam_zscore_window}};
}

nlohmann::json optimizer_json(const Session& s) {
    const config::Optimizer& o = s.optimizer_options;
    nlohmann::json groups = nlohmann::json::array();
    for (const optim::Group& group : optim::parameter_groups(*s.gpt2, o.weight_decay))
        groups.push_back({{"name", group.name},
                          {"tensors", group.tensors},
                          {"elements", group.elements},
                          {"weight_decay", group.weight_decay}});
    return {{"name", o.name},
            {"beta1", o.beta1},
            {"beta2", o.beta2},
            {"epsilon", o.epsilon},
            {"weight_decay", o.weight_decay},
            {"clip_norm", o.clip_norm},
            {"spam", spam_json(o)},
            {"groups", groups}};
}

void add_file(track::Manifest::Data& data, const char* role, const data::TokenFile& file,
              const std::string& sha256) {
    for (const std::filesystem::path& path : file.paths()) {
        std::error_code error;
        const auto bytes = static_cast<int64_t>(std::filesystem::file_size(path, error));
        data.files.push_back({.role = role,
                              .path = path.string(),
                              .sha256 = file.paths().size() == 1 ? sha256 : sha256_file(path),
                              .bytes = error ? std::nullopt : std::optional(bytes)});
    }
}

}  // namespace

track::Manifest::Data describe_data(const Session& s) {
    const data::DatasetMeta& meta = s.dataset().meta;
    track::Manifest::Data data;
    data.wanted = s.resolved->wanted;
    data.name = meta.name;
    data.directory = s.dataset().directory.string();
    data.substitute = s.resolved->substitute;
    data.synthetic = meta.synthetic;
    if (meta.entropy_nats >= 0) data.entropy_nats = meta.entropy_nats;
    data.package_version = meta.package_version;
    add_file(data, "train", s.dataset().train, meta.train_sha256);
    add_file(data, "val", s.dataset().val, meta.val_sha256);
    for (const data::DatasetMeta::Source& source : meta.sources)
        data.files.push_back({.role = "source",
                              .path = source.path,
                              .sha256 = source.sha256,
                              .bytes = source.bytes});
    data.train_tokens = s.dataset().train.size();
    data.val_tokens = s.dataset().val.size();
    return data;
}

namespace {

template <class T>
std::optional<T> if_set(T value) {
    return value > 0 ? std::optional<T>(value) : std::nullopt;
}

}  // namespace

std::string run_name(const Session& s) {
    return fmt::format("{}_{}_s{}{}", s.model.name, s.optimizer_options.name, s.general.seed,
                       s.dataset().meta.synthetic ? "-SYNTH" : "");
}

track::Manifest describe(const Session& s, const TrainRequest& request,
                         const config::Symbols& symbols) {
    track::Manifest m;
    m.command_line = request.command_line;
    m.preset = request.preset;
    m.model = s.model.name;
    m.optimizer = s.optimizer_options.name;
    m.config_sha256 = symbols.hash();
    m.experiment_sha256 = symbols.experiment_hash(s.general.seed);
    m.device = s.device.str();
    m.precision = name_of(s.train.precision);
    m.bf16_dot_products = s.choices.bf16_dot_products;
    m.gemm_route = s.choices.gemm;
    const model::RouteTiming& timing = model::gemm_timing();
    m.gemm_timing = {timing.route, timing.shapes, timing.seconds};
    m.torch_version = model::torch_version();
    m.threads = s.choices.threads;
    m.seeds = {{"seed", s.general.seed}};
    m.data = describe_data(s);
    if (s.tokenizer)
        m.tokenizer = {.kind = std::string(s.tokenizer->kind()),
                       .sha256 = s.tokenizer->sha256(),
                       .vocab_size = s.tokenizer->vocab_size()};
    m.parameters.total = m.parameters.trainable = model::parameter_count(s.model);
    for (const model::ParameterSpec& spec : model::gpt2_parameters(s.model))
        m.parameters.modules[module_of(spec.name)] += model::element_count(spec);
    m.batch = {.effective = s.batch.effective(),
               .micro = s.batch.micro,
               .accumulation = s.batch.accumulation,
               .n_ctx = s.model.n_ctx};
    m.budgets = {.max_iters = if_set(s.train.max_iters),
                 .max_tokens = if_set(s.train.max_tokens),
                 .max_time_s = if_set(s.train.max_time_s)};
    if (!request.init_from.empty())
        m.parents.push_back(
            {.kind = "init_from",
             .path = std::filesystem::absolute(request.init_from).string(),
             .sha256 = model::weights_sha256(model::find_model(request.init_from).weights)});
    m.warnings = s.warnings;
    if (const std::string text = crowded_text(s.choices.threads); !text.empty())
        m.warnings.push_back(text);
    m.batches_sha256 = s.eval_sha256;
    m.eval_windows = std::ssize(s.eval_starts);
    m.eval_window_tokens = s.model.n_ctx;
    if (request.on_manifest) request.on_manifest(m);
    return m;
}

std::vector<track::Manifest::File> recorded_data(const std::filesystem::path& run_directory) {
    if (!std::filesystem::exists(run_directory / "manifest.json")) return {};
    const nlohmann::json before = track::read_manifest(run_directory);
    const auto data = before.find("data");
    if (data == before.end() || !data->is_object() || !data->contains("files")) return {};
    std::vector<track::Manifest::File> files;
    for (const nlohmann::json& file : data->at("files")) {
        const auto text = [&file](const char* name) {
            const auto found = file.find(name);
            return found != file.end() && found->is_string() ? found->get<std::string>() : "";
        };
        if (!file.is_object() || (text("role") != "train" && text("role") != "val")) continue;
        files.push_back({.role = text("role"), .path = text("path"), .sha256 = text("sha256")});
        if (file.contains("bytes") && file["bytes"].is_number_integer())
            files.back().bytes = file["bytes"].get<int64_t>();
    }
    return files;
}

std::string changed_data(const Session& s, const std::filesystem::path& run_directory) {
    const track::Manifest::Data now = describe_data(s);
    for (const track::Manifest::File& was : recorded_data(run_directory)) {
        const auto same = [&was](const track::Manifest::File& other) {
            return was.role == other.role && was.sha256 == other.sha256;
        };
        if (was.sha256.empty() || std::any_of(now.files.begin(), now.files.end(), same)) continue;
        return fmt::format("the {} tokens in {} are not those the run began with (SHA-256 {}…)",
                           was.role, now.directory, was.sha256.substr(0, 12));
    }
    return "";
}

std::string describe_details(const Session& s) {
    nlohmann::json model = nlohmann::json::parse(model_text(s.model));
    model["parameters"] = model::parameter_count(s.model);
    model["parameters_without_positions"] = model::parameter_count_without_positions(s.model);
    model["flops_per_token"] = model::flops_per_token(s.model, s.model.n_ctx);
    nlohmann::json terms = nlohmann::json::object();
    for (const MemoryTerm& term : s.memory.terms) terms[term.name] = term.bytes;
    const config::Train& t = s.train;
    nlohmann::json details = {{"model_config", model},
                              {"optimizer_config", optimizer_json(s)},
                              {"schedule",
                               {{"kind", schedule_name(t)},
                                {"learning_rate", t.learning_rate},
                                {"min_lr", t.min_lr},
                                {"warmup_steps", t.warmup_steps},
                                {"warmup_fraction", t.warmup_fraction},
                                {"wallclock", t.max_time_s > 0},
                                {"incomplete", !s.time.incomplete.empty()}}},
                              {"schedule_incomplete", !s.time.incomplete.empty()},
                              {"eval",
                               {{"windows", std::ssize(s.eval_starts)},
                                {"tokens", std::ssize(s.eval_starts) * s.model.n_ctx},
                                {"n_ctx", s.model.n_ctx},
                                {"precision", name_of(t.eval_precision)},
                                {"interval", t.eval_interval},
                                {"sha256", s.eval_sha256}}},
                              {"batch_automatic", s.batch.automatic},
                              {"memory",
                               {{"estimate_bytes", s.memory.total()},
                                {"snapshot_bytes", s.memory.snapshot},
                                {"background_saves", s.background_saves},
                                {"available_bytes", s.memory.available},
                                {"terms", terms}}},
                              {"estimate",
                               {{"step_s", s.time.step_s},
                                {"steps", s.time.steps},
                                {"total_s", s.time.total_s},
                                {"nearest_preset", s.time.nearest_preset}}}};
    return details.dump();
}

void print_substitute(const Session& s) {
    if (!s.resolved->substitute.empty()) {
        log::warn("SUBSTITUTE DATA: {}", s.resolved->substitute);
        log::warn("SUBSTITUTE DATA: losses are not comparable with runs on {}", s.resolved->wanted);
    } else if (s.dataset().meta.synthetic) {
        log::warn("SYNTHETIC DATA: losses say nothing about real text");
    }
}

namespace {

std::string data_text(const Session& s) {
    if (!s.resolved)
        return fmt::format("{}, {} tokenizer; not looked at",
                           s.data.dataset == "custom" ? s.data.custom_path : s.data.dataset,
                           s.data.tokenizer);
    const data::DatasetMeta& meta = s.dataset().meta;
    return fmt::format("{}, {} tokenizer: {} training and {} validation tokens", meta.name,
                       s.tokenizer ? std::string(s.tokenizer->kind()) : meta.tokenizer,
                       count_text(s.dataset().train.size()), count_text(s.dataset().val.size()));
}

std::string warmup_text(const config::Train& t) {
    return t.max_time_s > 0 ? fmt::format("{:g} % of the time", 100 * t.warmup_fraction)
                            : count_text(t.warmup_steps) + " steps";
}

}  // namespace

void print_plan(const Session& s) {
    const config::Model& m = s.model;
    const config::Optimizer& o = s.optimizer_options;
    log::info(
        "model    {} {}: {} layers, {} heads, width {}, context {}, vocabulary {}; {} parameters",
        m.name, m.size, m.n_layer, m.n_head, m.d_model, m.n_ctx, m.vocab_size,
        count_text(model::parameter_count(m)));
    for (const optim::Group& group :
         optim::parameter_groups(*s.gpt2, s.optimizer_options.weight_decay))
        log::info("group    {}: {} tensors, {} elements, weight decay {}", group.name,
                  group.tensors, count_text(group.elements), group.weight_decay);
    log::info("update   {}: beta {:g} and {:g}, epsilon {:g}, gradient norm {}", o.name, o.beta1,
              o.beta2, o.epsilon,
              o.clip_norm > 0 ? fmt::format("at most {:g}", o.clip_norm) : "not limited");
    log::info("data     {}", data_text(s));
    log::info("batch    {} sequences = {} x {} accumulated x 1 rank, {} tokens a step",
              s.batch.effective(), s.batch.micro, s.batch.accumulation,
              count_text(s.tokens_per_step()));
    log::info("machine  {}, {} thread{}, {}, GEMM by {}, {}", s.device.str(), s.choices.threads,
              s.choices.threads == 1 ? "" : "s", s.choices.isa, s.choices.gemm,
              name_of(s.train.precision));
    log::info("budget   {}; {} from {:g} after a warm-up of {}", budget_text(s.train),
              schedule_name(s.train), s.train.learning_rate, warmup_text(s.train));
    log::info(
        "memory   about {} of {}{}", bytes_text(s.memory.total()), bytes_text(s.memory.available),
        s.background_saves
            ? fmt::format("; {} more while a checkpoint is written", bytes_text(s.memory.snapshot))
            : "");
}

void print_banner(const Session& s, const std::string& run_path, int64_t from_step) {
    log::info("run      {}{}", run_path,
              from_step > 0 ? fmt::format(", from step {}", from_step) : "");
    print_plan(s);
    log::info("time     about {} a step; {} steps, {} tokens, in about {}",
              duration_text(s.time.step_s), count_text(s.time.steps),
              count_text(s.time.steps * s.tokens_per_step()), duration_text(s.time.total_s));
    if (!s.time.nearest_preset.empty())
        log::info("         this machine is better matched by: make defconfig-{}",
                  s.time.nearest_preset);
    for (const std::string& warning : s.warnings) log::warn("{}", warning);
}

}  // namespace knlp::train
