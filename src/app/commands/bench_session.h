#pragma once

#include "knlp/app/command.h"
#include "knlp/bench/judged_lines.h"

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

    const bench::Machine& machine() const { return lines_.machine(); }
    /// Returns the JSON line.
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
    const Common& common_;
    bench::JudgedLines lines_;
};

}  // namespace knlp::app
