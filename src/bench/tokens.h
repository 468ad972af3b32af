#pragma once

#include <filesystem>
#include <optional>

#include "knlp/bench/bench.h"
#include "knlp/data/token_file.h"

namespace knlp::bench {

/// The tokens a step benchmark reads: the given file, or random ids in a temporary one that goes with it.
class BenchTokens {
public:
    explicit BenchTokens(const StepRequest& request);
    ~BenchTokens();
    BenchTokens(const BenchTokens&) = delete;
    BenchTokens& operator=(const BenchTokens&) = delete;
    const data::TokenFile& file() const { return *file_; }
    bool random() const { return !directory_.empty(); }

private:
    std::filesystem::path directory_;
    std::optional<data::TokenFile> file_;
};

/// The request with its open choices made: vocabulary, threads. Error{kUsage} for what is out of range.
StepRequest completed(StepRequest request);

}  // namespace knlp::bench
