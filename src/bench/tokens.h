#pragma once

#include <optional>

#include "knlp/bench/bench.h"
#include "knlp/data/token_file.h"
#include "knlp/bench/scratch.h"

namespace knlp::bench {

/// The tokens a step benchmark reads: the given file, or random ids in a temporary one that goes
/// with it.
class BenchTokens {
public:
    explicit BenchTokens(const StepRequest& request);
    const data::TokenFile& file() const { return *file_; }
    bool random() const { return directory_.has_value(); }

private:
    std::optional<Scratch> directory_;  // outlives the mapping of its file
    std::optional<data::TokenFile> file_;
};

/// The request with its open choices made: vocabulary, threads. Error{kUsage} for what is out of
/// range.
StepRequest completed(StepRequest request);

}  // namespace knlp::bench
