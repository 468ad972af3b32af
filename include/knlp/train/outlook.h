#pragma once

#include "knlp/train/choices.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace knlp::config {
class Symbols;
}

namespace knlp::train {

/// What a run of a configuration would be on this machine, told before there is one.
struct Outlook {
    struct File {
        std::string role, sha256;  // train, val, tokenizer
        bool operator==(const File&) const = default;
    };
    std::string model, optimizer;  // names of table rows
    std::string device;            // kind: "cpu", "cuda"
    Choices choices;               // gemm "" where routes were not looked at
    int64_t effective_batch = 0, n_ctx = 0;
    int64_t max_iters = 0, max_tokens = 0;  // budgets, 0 = off
    double max_time_s = 0;
    int64_t parameters = 0;
    double flops_per_token = 0;
    int64_t memory_bytes = 0;  // at its peak, copies of a checkpoint included
    std::vector<File> data;    // empty where the data was not looked at
    std::string windows_sha256;
    std::string substitute;  // why other data stands in, "" when none does

    int64_t tokens_per_step() const { return effective_batch * n_ctx; }
};

/// Tells outlooks of many configurations: data and routes of products are looked at once for all
/// that share them. Nothing but prepared data and the cache of routes is written.
class Forecast {
public:
    struct Request {
        int64_t threads = 0;       // of a run whose NUM_THREADS is 0; 0 = usable cores
        double memory_share = 1;   // of the free memory, for the micro-batch
        bool look_at_data = true;  // and prepare it where it is not there
        bool measure_routes = true;
        bool strict = false;  // no substitute for missing data
    };
    explicit Forecast(const Request& request);
    ~Forecast();
    /// The errors of run_training() before its first step, but for memory and disk.
    Outlook of(const config::Symbols& symbols);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp::train
