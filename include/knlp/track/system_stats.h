#pragma once

#include "knlp/track/run_dir.h"

#include <memory>

namespace knlp::track {

/// Writes what the machine is doing into sys_stats.jsonl of a run, from a thread of its own: a line
/// at once and one every `period_s`, until destroyed; none with a period of 0. It appends. Nothing
/// that goes wrong here ends a run: it warns once and writes no more.
class SystemStats {
public:
    /// `elapsed_s`: what earlier attempts took, counted on from in the lines.
    SystemStats(const RunDir& run, double period_s, double elapsed_s);
    ~SystemStats();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp::track
