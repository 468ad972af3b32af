#pragma once

#include "knlp/app/command.h"
#include "knlp/bench/record.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace knlp::app {

/// Measures what the machine gives, then prints one record after the other; keeps the lines for
/// --out.
class BenchSession {
public:
    /// Warns once when there are more threads than cores. `peak`: the rates of multiply-adds are
    /// wanted too.
    BenchSession(const Common& common, int64_t threads, bool peak);

    const bench::Machine& machine() const { return machine_; }
    /// Returns the JSON line. What shows that the memory is faster than was measured makes it be
    /// measured again, unless it was in turns with the record; records judged before are marked.
    const nlohmann::json& add(const bench::Record& record);
    void add(const std::vector<bench::Record>& records);
    /// The bandwidth itself as records memory.read and memory.copy.
    void add_bandwidth();
    /// The machine: bandwidth and peaks of this session, and of other numbers of threads up to
    /// `threads` (names end in .tN).
    void add_machine(int64_t threads);
    /// Writes --out, by the records' names, so that a page can point at a figure.
    void write() const;

private:
    void judge_memory_again(const bench::Record& record);

    const Common& common_;
    bench::Machine machine_;
    nlohmann::json records_ = nlohmann::json::object();
};

}  // namespace knlp::app
