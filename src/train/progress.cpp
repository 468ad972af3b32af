#include "progress.h"

#include "knlp/core/host.h"
#include "knlp/core/text.h"
#include "text.h"

#include <algorithm>

namespace knlp::train {

namespace {

constexpr double kRedraw_s = 0.1;

}  // namespace

std::string progress_text(const ProgressView& v) {
    std::string text = v.planned_steps > 0 ? fmt::format("step {}/{}", v.step, v.planned_steps)
                                           : fmt::format("step {}", v.step);
    text += fmt::format("  {:3.0f} %  loss {:.4f}  lr {:.2e}  {} tokens/s", 100 * v.progress,
                        v.loss, v.lr, count_text(static_cast<int64_t>(v.tokens_per_s)));
    if (v.eta_s >= 0) text += "  ETA " + duration_text(v.eta_s);
    return text;
}

void ProgressLine::show(const ProgressView& view) {
    const double now = steady_seconds();
    if (!line_.active() || (last_ >= 0 && now - last_ < kRedraw_s)) return;
    last_ = now;
    line_.update(progress_text(view));
}

}  // namespace knlp::train
