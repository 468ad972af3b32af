#include "knlp/train/evaluator.h"

#include "session.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/stats.h"
#include "knlp/data/batches.h"

#include <algorithm>

namespace knlp::train {

EvalResult evaluate_windows(model::Gpt2& model, const data::TokenFile& tokens,
                            std::span<const int64_t> starts, int64_t batch,
                            config::Precision precision, const std::function<bool()>& should_stop) {
    KNLP_CHECK(batch > 0 && !starts.empty());
    const double begin = steady_seconds();
    const int64_t n_ctx = model.config().n_ctx;
    EvalResult result;
    std::vector<double> means;
    for (size_t first = 0; first < starts.size(); first += static_cast<size_t>(batch)) {
        if (should_stop && should_stop()) {
            result.complete = false;
            break;
        }
        const size_t rows = std::min(static_cast<size_t>(batch), starts.size() - first);
        const data::Batch windows = data::read_windows(tokens, starts.subspan(first, rows), n_ctx);
        const DeviceBatch ids = to_device(windows, model.device());
        model::ForwardContext context{.bf16 = precision == config::Precision::kBfloat16};
        const at::Tensor nll = model.token_nll(ids.inputs, ids.targets, context);
        const at::Tensor mean = nll.to(at::kDouble).mean(1).to(at::kCPU).contiguous();
        for (size_t row = 0; row < rows; ++row) means.push_back(mean.const_data_ptr<double>()[row]);
    }
    result.loss = mean(means);
    result.standard_error = standard_error(means);
    result.tokens = std::ssize(means) * n_ctx;
    for (const double value : means) result.window_loss.push_back(static_cast<float>(value));
    result.seconds = steady_seconds() - begin;
    return result;
}

}  // namespace knlp::train
