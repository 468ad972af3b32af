#include "knlp/model/tensor_device.h"
#include "knlp/train/device_steps.h"

#include "device_feed.h"

#include "knlp/core/error.h"
#include "knlp/core/log.h"
#include "knlp/model/device_graph.h"

#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>

#include <cmath>
#include <utility>

namespace knlp::train {

namespace {

constexpr int64_t kColumns = 4;   // loss and the row of the optimizer
constexpr int64_t kMaxHeld = 64;  // outcomes kept on the device

}  // namespace

struct DeviceSteps::State {
    model::Gpt2& model;
    optim::QueuedOptimizer& optimizer;
    DeviceStepOptions options;
    DeviceFeed feed;
    at::Tensor ids;      // [2, rows, n_ctx], inputs and targets of the step
    at::Tensor lr;       // 0-dim float32
    at::Tensor outcome;  // [kColumns] float64, of the step just enqueued
    at::Tensor held;     // [kMaxHeld, kColumns]
    int64_t step = 0;    // of the step being enqueued, for what is not recorded
    int64_t enqueued = 0;
    std::unique_ptr<model::DeviceGraph> graph;  // null: steps are not recorded
    bool recorded = false;
    std::string not_recorded;
    std::vector<StepOutcome> waiting;    // of the rows in `held`, step and rate only
    std::vector<StepOutcome> collected;  // read when `held` was full

    State(model::Gpt2& m, optim::QueuedOptimizer& o, const DeviceStepOptions& how)
        : model(m),
          optimizer(o),
          options(how),
          feed(model::tensor_device(m.device()), how.micro * how.accumulation, m.config().n_ctx) {
        const auto on = at::TensorOptions().device(model::tensor_device(m.device()));
        ids = at::zeros({2, how.micro * how.accumulation, m.config().n_ctx}, on.dtype(at::kLong));
        lr = at::zeros({}, on.dtype(at::kFloat));
        outcome = at::zeros({kColumns}, on.dtype(at::kDouble));
        held = at::zeros({kMaxHeld, kColumns}, on.dtype(at::kDouble));
        if (!how.graph)
            not_recorded = "not asked for";
        else if (m.config().dropout > 0)
            not_recorded = "dropout draws another mask each step; set GPT2_DROPOUT to 0";
        else
            graph = model::make_device_graph(m.device().cuda);
    }

    /// Everything a step does on the device. Reads `ids` and `lr`, writes `outcome`.
    void work() {
        model.clear_gradients();
        const int64_t rows = options.micro;
        const auto targets = static_cast<double>(ids.numel() / 2);
        at::Tensor loss;
        for (int64_t micro = 0; micro < options.accumulation; ++micro) {
            model::ForwardContext context{.training = true,
                                          .seed = options.seed,
                                          .step = step,
                                          .micro = micro,
                                          .first_row = micro * rows,
                                          .bf16 = options.bf16};
            const at::Tensor part =
                model.loss_and_gradients(ids[0].narrow(0, micro * rows, rows),
                                         ids[1].narrow(0, micro * rows, rows), context, targets);
            loss = loss.defined() ? loss + part : part;
        }
        outcome.copy_(at::cat({loss.view({1}), optimizer.enqueue(lr, loss)}));
    }

    void record() {
        try {
            graph->record([this] { work(); });
            recorded = true;
        } catch (const Error& error) {
            if (error.kind() != kNotAvailable) throw;
            not_recorded = error.what();
            log::warn("{}; each step is enqueued kernel by kernel", not_recorded);
            graph.reset();
        }
        // The model may now hold a copy of a weight whose making was recorded but has not run.
        optimizer.weights_changed();
    }

    void read_held() {
        if (waiting.empty()) return;
        const at::Tensor rows = held.narrow(0, 0, std::ssize(waiting)).to(at::kCPU).contiguous();
        const double* row = rows.const_data_ptr<double>();
        for (StepOutcome& one : waiting) {
            one.loss = row[0];
            one.info = optimizer.outcome({row + 1, static_cast<size_t>(kColumns - 1)});
            if (!std::isfinite(one.loss)) one.info.finite = false;
            collected.push_back(std::move(one));
            row += kColumns;
        }
        waiting.clear();
    }
};

DeviceSteps::DeviceSteps(model::Gpt2& model, optim::Optimizer& optimizer,
                         const DeviceStepOptions& options) {
    KNLP_CHECK(optimizer.queued() != nullptr);
    state_ = std::make_unique<State>(model, *optimizer.queued(), options);
}

DeviceSteps::~DeviceSteps() = default;

void DeviceSteps::add(const data::Batch& batch) {
    state_->feed.add(batch);
}

void DeviceSteps::drop() {
    state_->feed.drop();
}

void DeviceSteps::run(int64_t step, double lr) {
    State& s = *state_;
    if (std::ssize(s.waiting) == kMaxHeld) s.read_held();
    s.feed.deliver(s.ids);
    s.lr.fill_(lr);
    s.step = step;
    if (s.graph && !s.recorded && s.enqueued >= kWarmUps) s.record();
    if (s.recorded) {
        s.graph->replay();
        s.optimizer.weights_changed();
    } else if (s.graph) {
        s.graph->warm_up([&s] { s.work(); });
    } else {
        s.work();
    }
    s.held.select(0, std::ssize(s.waiting)).copy_(s.outcome);
    s.waiting.push_back({.step = step, .lr = lr});
    ++s.enqueued;
}

std::vector<StepOutcome> DeviceSteps::collect() {
    state_->read_held();
    return std::exchange(state_->collected, {});
}

bool DeviceSteps::recorded() const {
    return state_->recorded;
}

const std::string& DeviceSteps::not_recorded() const {
    return state_->not_recorded;
}

}  // namespace knlp::train
