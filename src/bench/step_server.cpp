#include "knlp/bench/step_server.h"

#include "knlp/config/build_info.h"
#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/parse.h"
#include "knlp/data/batches.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/model_files.h"
#include "knlp/model/runtime.h"
#include "knlp/model/weights.h"
#include "knlp/optim/optimizer.h"
#include "knlp/train/device_steps.h"
#include "tokens.h"

#include <nlohmann/json.hpp>

#include <istream>
#include <optional>
#include <ostream>
#include <sstream>

namespace knlp::bench {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// A model in training that moves only when asked to.
class Trainee {
public:
    explicit Trainee(const ServeRequest& request)
        : request_(completed(request.step)),
          rate_(request.learning_rate),
          tokens_(request_),
          gpt2_(start(), model::resolve_device(request_.device)) {
        if (request.init_from.empty())
            gpt2_.initialize(request_.seed);
        else
            model::load_weights(request.init_from, gpt2_);
        optimizer_ = optim::make_optimizer(request_.optimizer, gpt2_, !gpt2_.device().is_cpu());
        if (optimizer_->queued() != nullptr)
            queue_ = std::make_unique<train::DeviceSteps>(
                gpt2_, *optimizer_,
                train::DeviceStepOptions{.micro = request_.batch,
                                         .accumulation = request_.accumulation,
                                         .seed = request_.seed,
                                         .bf16 = bf16()});
        loader_.emplace(tokens_.file(), request_.seed, 0, request_.batch, request_.accumulation,
                        request_.model.n_ctx);
    }

    json facts() const {
        return {{"ready", true},
                {"gemm", model::gemm_route()},
                {"parameters", model::parameter_count(request_.model)},
                {"threads", request_.threads},
                {"device", gpt2_.device().str()},
                {"device_name", model::device_name(gpt2_.device())},
                {"machine", machine_facts()},
                {"revision", std::string(config::build_info().git_commit) +
                                 (config::build_info().git_dirty ? "+" : "")}};
    }

    json run(int64_t steps) {
        json losses = json::array(), seconds = json::array();
        for (int64_t i = 0; i < steps; ++i) {
            const double begin = steady_seconds();
            losses.push_back(queue_ ? take_queued_step() : take_step());
            seconds.push_back(steady_seconds() - begin);
        }
        return {{"losses", losses}, {"step_s", seconds}, {"peak_rss_bytes", peak_resident_bytes()}};
    }

    void read_only(std::vector<int64_t> starts) {
        if (std::ssize(starts) != request_.batch * request_.accumulation)
            fail(kUsage, "windows: {} places, a step has {} sequences", starts.size(),
                 request_.batch * request_.accumulation);
        for (const int64_t start : starts)
            if (start < 0 || start >= tokens_.file().size() - request_.model.n_ctx)
                fail(kUsage, "windows: {} is outside [0, {})", start,
                     tokens_.file().size() - request_.model.n_ctx);
        windows_ = std::move(starts);
        loader_.reset();
    }

    void save(const fs::path& directory) {
        fs::create_directories(directory);
        model::save_weights(directory / "model.safetensors", gpt2_, "transformer.", {});
        model::write_hf_config(directory, gpt2_.config(), -1);
    }

private:
    bool bf16() const { return request_.precision == config::Precision::kBfloat16; }

    /// What must have happened before the first tensor is made.
    const config::Model& start() const {
        model::start_runtime({.threads = request_.threads});
        const bool cpu = model::resolve_device(request_.device).is_cpu();
        model::choose_gemm_route(
            cpu ? request_.gemm : "aten",
            model::gemm_shapes(request_.model, request_.batch, request_.model.n_ctx), bf16());
        return request_.model;
    }

    data::Batch next_batch(int64_t micro) {
        if (loader_) return loader_->next();
        const std::span<const int64_t> all(windows_);
        return data::read_windows(tokens_.file(),
                                  all.subspan(static_cast<size_t>(micro * request_.batch),
                                              static_cast<size_t>(request_.batch)),
                                  request_.model.n_ctx);
    }

    double take_step() {
        const int64_t targets = request_.batch * request_.accumulation * request_.model.n_ctx;
        double sum = 0;
        for (int64_t micro = 0; micro < request_.accumulation; ++micro) {
            const data::Batch batch = next_batch(micro);
            model::ForwardContext context{.training = true,
                                          .dropout = request_.model.dropout,
                                          .seed = request_.seed,
                                          .step = step_,
                                          .micro = micro,
                                          .first_row = micro * request_.batch,
                                          .bf16 = bf16()};
            sum += gpt2_.loss_and_gradients(batch, context, static_cast<double>(targets));
        }
        const optim::StepInfo info = optimizer_->step(rate_);
        if (!info.finite)
            fail_code(kRun, "E_DIVERGED", "the gradient of {} is not finite in step {}",
                      info.first_bad, step_);
        gpt2_.clear_gradients();
        ++step_;
        return sum;
    }

    double take_queued_step() {
        for (int64_t micro = 0; micro < request_.accumulation; ++micro)
            queue_->add(next_batch(micro));
        queue_->run(step_, rate_);
        const train::StepOutcome outcome = queue_->collect().back();
        if (!outcome.info.finite)
            fail_code(kRun, "E_DIVERGED", "the gradient of {} is not finite in step {}",
                      outcome.info.first_bad, step_);
        ++step_;
        return outcome.loss;
    }

    StepRequest request_;
    double rate_;
    BenchTokens tokens_;
    model::Gpt2 gpt2_;
    std::unique_ptr<optim::Optimizer> optimizer_;
    std::unique_ptr<train::DeviceSteps> queue_;  // null on the processor
    std::optional<data::BatchLoader> loader_;
    std::vector<int64_t> windows_;  // used when there is no loader
    int64_t step_ = 0;
};

int64_t number(const std::string& word, const char* what) {
    const std::optional<int64_t> value = parse_int(word);
    if (!value || *value < 0) fail(kUsage, "{}: '{}' is not a count", what, word);
    return *value;
}

}  // namespace

void serve_steps(const ServeRequest& request, std::istream& in, std::ostream& out) {
    Trainee trainee(request);
    const auto answer = [&out](const json& value) {
        out << canonical_json(value) << '\n' << std::flush;
    };
    answer(trainee.facts());
    for (std::string line; std::getline(in, line);) {
        std::istringstream words(line);
        std::string verb, word;
        words >> verb;
        if (verb == "quit") return;
        if (verb == "run" && words >> word) {
            answer(trainee.run(number(word, "run")));
        } else if (verb == "windows") {
            std::vector<int64_t> starts;
            while (words >> word) starts.push_back(number(word, "windows"));
            trainee.read_only(std::move(starts));
            answer({{"ok", true}});
        } else if (verb == "save" && std::getline(words >> std::ws, word)) {
            trainee.save(word);
            answer({{"ok", true}});
        } else {
            fail(kUsage, "'{}' is no request: run N, windows START…, save DIR, quit", line);
        }
    }
}

}  // namespace knlp::bench
