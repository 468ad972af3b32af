#pragma once

#include "knlp/bench/machine.h"
#include "knlp/bench/record.h"

#include <nlohmann/json.hpp>

#include <functional>

namespace knlp::bench {

/// The lines of a session, by the records' names. All are judged by the same machine: what shows
/// that its memory is faster than was measured marks the lines that were judged before.
class JudgedLines {
public:
    /// `measure` takes the bandwidth once more, with the threads and bytes of the one it is given.
    JudgedLines(Machine machine, std::function<Bandwidth(const Bandwidth&)> measure);

    const Machine& machine() const { return machine_; }
    const nlohmann::json& lines() const { return lines_; }
    /// Returns the record's line. A record that beats the bandwidth, also the one measured in turns
    /// with it, has it measured again first.
    const nlohmann::json& add(const Record& record);

private:
    void judge_again(const Record& record);

    Machine machine_;
    std::function<Bandwidth(const Bandwidth&)> measure_;
    nlohmann::json lines_ = nlohmann::json::object();
};

}  // namespace knlp::bench
