#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "run_data.h"

namespace knlp::report {

/// The numbers at the top of the page and in the text summary. NaN and 0 steps: not recorded.
struct KeyFigures {
    std::string state;  // done, running, failed, preempted, pending, unknown
    std::string exit;   // max_iters, max_time, …, or ""
    double val_loss = kMissing, val_se = kMissing;  // last evaluation, nats per token
    int64_t val_step = 0;
    double best_loss = kMissing;
    int64_t best_step = 0;
    double train_loss = kMissing;  // last logged
    double perplexity = kMissing;  // exp(min(val_loss, 20))
    double bits_per_byte = kMissing;
    int64_t steps = 0;
    double tokens = kMissing, wall_s = kMissing, parameters = kMissing, peak_rss_bytes = kMissing;
    double tokens_per_s = kMissing;  // median of the logged values, else the summary's mean
    std::string loss_unit;           // "nats/byte" with the byte tokenizer, else "nats/token"
};
KeyFigures key_figures(const RunData& run);

/// One line of text each for what makes this run something else than what was asked for:
/// substituted or synthetic data, uncommitted changes of the source, a resume that changed
/// something.
std::vector<std::string> caveats(const RunData& run);

/// Why a failed run failed; "" for every other run.
std::string failure(const RunData& run);

/// Text for the plots: "SUBSTITUTE DATA", "SYNTHETIC DATA", or "".
std::string watermark(const RunData& run);

/// Model, data and tokenizer in one line: "gpt2 · linuxdoc · byte tokenizer".
std::string subject_line(const RunData& run);

/// Where its first weights came from (--init-from), as a path for commands; "" = from the seed.
std::string started_from(const RunData& run);

struct Command {
    std::string purpose, line;
};
/// How to repeat, continue and use the run, ready to paste from the root of the tree.
std::vector<Command> commands_of(const RunData& run);

}  // namespace knlp::report
