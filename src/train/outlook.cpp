#include "knlp/train/outlook.h"

#include "describe.h"
#include "session.h"

#include "knlp/config/symbols.h"
#include "knlp/core/host.h"
#include "knlp/model/runtime.h"
#include "knlp/train/step_memory.h"

#include <fmt/ranges.h>

#include <map>

namespace knlp::train {
namespace {

/// What the data decides.
struct Found {
    int64_t vocab_size = 0;
    std::vector<Outlook::File> files;
    std::string windows_sha256, substitute;
};

/// All that find_data() goes by.
std::string data_key(const Session& s) {
    const config::Data& d = s.data;
    return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", d.dataset, d.custom_path, d.tokenizer,
                       d.bpe_vocab, d.allow_substitute, d.synthetic_fallback, d.eval_tokens,
                       s.general.data_dir, s.model.n_ctx, s.model.vocab_size);
}

Found look_at_data(Session& s, const TrainRequest& request) {
    find_data(s, request);
    Found found{.vocab_size = s.model.vocab_size, .files = {}};
    for (const track::Manifest::File& file : describe_data(s).files)
        if (file.role == "train" || file.role == "val")
            found.files.push_back({file.role, file.sha256});
    if (s.tokenizer) found.files.push_back({"tokenizer", s.tokenizer->sha256()});
    found.windows_sha256 = s.eval_sha256;
    found.substitute = s.resolved->substitute;
    return found;
}

int64_t peak_bytes(const Session& s, int64_t held) {
    const int64_t peak = memory_of(s, s.batch.micro, held).total();
    if (!s.train.save_checkpoint) return peak;
    return peak + 4 * model::parameter_count(s.model) +
           optimizer_bytes(s.optimizer_options, s.model);
}

}  // namespace

struct Forecast::State {
    Request request;
    int64_t held = resident_bytes();  // as a run begins: before data is read and routes are timed
    std::map<std::string, Found> data;
    std::map<std::string, std::string> routes;

    void settle_data(Session& s, Outlook& outlook) {
        TrainRequest train;
        train.strict = request.strict;
        if (!request.look_at_data) {
            assume_vocabulary(s, train);
            return;
        }
        const std::string key = data_key(s);
        auto at = data.find(key);
        if (at == data.end()) at = data.emplace(key, look_at_data(s, train)).first;
        s.model.vocab_size = at->second.vocab_size;
        outlook.data = at->second.files;
        outlook.windows_sha256 = at->second.windows_sha256;
        outlook.substitute = at->second.substitute;
    }

    /// As build_model() chooses it.
    std::string route(const Session& s) {
        if (!s.device.is_cpu()) return "aten";
        if (!request.measure_routes) return s.train.gemm == "auto" ? "" : s.train.gemm;
        const auto shapes = model::gemm_shapes(s.model, s.batch.micro, s.model.n_ctx);
        std::string key = fmt::format("{}|{}|{}", s.train.gemm, s.bf16(), s.choices.threads);
        for (const auto& shape : shapes) key += fmt::format("|{}", fmt::join(shape, ","));
        auto at = routes.find(key);
        if (at == routes.end())
            at =
                routes.emplace(key, model::choose_gemm_route(s.train.gemm, shapes, s.bf16())).first;
        return at->second;
    }
};

Forecast::Forecast(const Request& request) : state_(std::make_unique<State>()) {
    state_->request = request;
}

Forecast::~Forecast() = default;

Outlook Forecast::of(const config::Symbols& symbols) {
    const Request& request = state_->request;
    Choices forced;
    if (config::read_general(symbols).num_threads == 0) forced.threads = request.threads;
    Session s = configure(symbols, {}, forced);
    Outlook outlook;
    outlook.model = s.model.name;
    outlook.optimizer = s.optimizer_options.name;
    state_->settle_data(s, outlook);
    const int64_t held = state_->held;
    const int64_t free =
        s.device.is_cpu() ? available_memory_bytes() : model::device_free_bytes(s.device);
    choose_micro_batch(
        s, held, held + static_cast<int64_t>(request.memory_share * static_cast<double>(free)));
    s.choices.micro = s.batch.micro;
    s.choices.accumulation = s.batch.accumulation;
    s.choices.gemm = state_->route(s);
    outlook.device = s.device.is_cpu() ? "cpu" : "cuda";
    outlook.choices = s.choices;
    outlook.effective_batch = s.batch.effective();
    outlook.n_ctx = s.model.n_ctx;
    outlook.max_iters = s.train.max_iters;
    outlook.max_tokens = s.train.max_tokens;
    outlook.max_time_s = s.train.max_time_s;
    outlook.parameters = model::parameter_count(s.model);
    outlook.flops_per_token = model::flops_per_token(s.model, s.model.n_ctx);
    outlook.memory_bytes = peak_bytes(s, held);
    return outlook;
}

}  // namespace knlp::train
