#pragma once

#include "tests/support/run_binary.h"
#include "tiny_run.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace knlp::test {

/// `knlp train` beside a configuration file of the tiny run and its data.
struct Command {
    TinyRuns runs;
    explicit Command(const Values& changes = {}) {
        std::ofstream(runs.run(".config"))
            << config::Symbols::from_values(runs.values(changes)).dot_config();
    }
    Finished operator()(std::vector<std::string> arguments,
                        std::map<std::string, std::string> environment = {}) const {
        arguments.insert(arguments.begin(), "train");
        return run_knlp(arguments, runs.path(), environment);
    }
    /// Starts training and sends `signal` once the shell condition holds, or the run has ended.
    Finished stopped_when(const std::string& condition, const std::string& signal,
                          const std::string& arguments) const {
        return run_shell("\"$KNLP\" train " + arguments + " & pid=$!; until " + condition +
                             "; do kill -0 $pid 2>/dev/null || break; done; kill -" + signal +
                             " $pid; wait $pid",
                         runs.path());
    }
    /// The same once `lines` lines are in metrics.jsonl of a run without end.
    Finished stopped(const std::string& name, const std::string& signal, int64_t lines) const {
        return stopped_when("[ \"$(cat " + name + "/metrics.jsonl 2>/dev/null | wc -l)\" -ge " +
                                std::to_string(lines) + " ]",
                            signal, "--out " + name + " --set GPT2_MAX_ITERS=100000");
    }
    /// The environment in which crash_shim.so acts on what happens below `directory`.
    std::map<std::string, std::string> shim(const std::filesystem::path& directory,
                                            std::map<std::string, std::string> wanted) const {
        wanted["LD_PRELOAD"] = (binary_directory() / "crash_shim.so").string();
        wanted["KNLP_CRASH_BELOW"] = directory.string();
        return wanted;
    }
};

#define NEEDS_BINARY()                                         \
    if (!std::filesystem::exists(::knlp::test::knlp_binary())) \
    GTEST_SKIP() << "no binary at " << ::knlp::test::knlp_binary() << " (KNLP_BIN)"

}  // namespace knlp::test
