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
        model::ForwardContext context{.bf16 = precision == config::Precision::kBfloat16};
        const std::vector<double> each = model.row_losses(windows, context);
        means.insert(means.end(), each.begin(), each.end());
    }
    result.loss = mean(means);
    result.standard_error = standard_error(means);
    result.tokens = std::ssize(means) * n_ctx;
    for (const double value : means) result.window_loss.push_back(static_cast<float>(value));
    result.seconds = steady_seconds() - begin;
    return result;
}

}  // namespace knlp::train
