#pragma once

#include "knlp/core/log.h"

#include <cstdint>
#include <string>

namespace knlp::train {

/// What a progress line shows.
struct ProgressView {
    int64_t step = 0, planned_steps = 0;  // planned 0: the clock decides
    double progress = 0, loss = 0, lr = 0, tokens_per_s = 0, elapsed_s = 0;
    double eta_s = -1;  // -1: not known yet
};
std::string progress_text(const ProgressView& view);

/// One live line on a terminal; elsewhere nothing, and the caller logs plain lines.
class ProgressLine {
public:
    bool live() const { return line_.active(); }
    /// Redraws, at most ten times a second.
    void show(const ProgressView& view);

private:
    log::LiveLine line_;
    double last_ = -1;
};

}  // namespace knlp::train
