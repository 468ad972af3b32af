#include "curves_csv.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <iterator>

namespace knlp::report {
namespace {

void append_row(std::string& out, const char* event, int64_t step,
                const std::array<double, 9>& values) {
    fmt::format_to(std::back_inserter(out), "{},{}", event, step);
    for (double value : values) {
        out += ',';
        if (!std::isnan(value)) fmt::format_to(std::back_inserter(out), "{}", value);
    }
    out += '\n';
}

}  // namespace

std::string curves_csv(const RunData& run) {
    std::string out =
        "event,step,tokens,loss,lr,grad_norm,tokens_per_s,rss_bytes,train_loss,val_loss,val_se\n";
    for (const TrainPoint& p : run.train)
        append_row(out, "train", p.step,
                   {p.tokens, p.loss, p.lr, p.grad_norm, p.tokens_per_s, p.rss_bytes, kMissing,
                    kMissing, kMissing});
    for (const EvalPoint& p : run.evals)
        append_row(out, "eval", p.step,
                   {p.tokens, kMissing, kMissing, kMissing, kMissing, kMissing, p.train_loss,
                    p.val_loss, p.val_se});
    return out;
}

}  // namespace knlp::report
