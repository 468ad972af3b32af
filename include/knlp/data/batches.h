#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace knlp::data {

class TokenFile;

/// Where row `row` of batch `batch` starts: Philox(stream(seed, "data/" + split), batch, row) mod
/// (n_tokens - n_ctx). Depends on nothing else. Error{kData} with both numbers when n_tokens is
/// less than n_ctx + 1.
int64_t window_start(uint64_t seed, const std::string& split, uint64_t batch, uint64_t row,
                     int64_t n_tokens, int64_t n_ctx);

/// Error{kData} "data/val.bin: 57 tokens, need at least 129" unless one window of n_ctx inputs and
/// their targets fits.
void require_window(const TokenFile& tokens, int64_t n_ctx);

/// Inputs and targets of one micro-batch: targets are inputs shifted by one. This is the only place
/// where the shift is made.
struct Batch {
    int64_t rows = 0, n_ctx = 0;
    std::vector<int64_t> inputs, targets;  // [rows, n_ctx]
};

/// Windows at the given starts, one a row. KNLP_CHECKs that each lies inside the file.
Batch read_windows(const TokenFile& tokens, std::span<const int64_t> starts, int64_t n_ctx);

/// Rows [first_row, first_row + rows) of training batch (= optimizer step) `step`.
Batch make_batch(const TokenFile& tokens, uint64_t seed, int64_t step, int64_t first_row,
                 int64_t rows, int64_t n_ctx);

/// Loads micro-batches ahead of the step on one thread (signals blocked). next() returns (step,
/// micro) in order: micro 0..accumulation-1 of step, then step + 1. `tokens` must outlive the
/// loader.
class BatchLoader {
public:
    BatchLoader(const TokenFile& tokens, uint64_t seed, int64_t first_step, int64_t rows,
                int64_t accumulation, int64_t n_ctx, int64_t ahead = 2);
    ~BatchLoader();
    Batch next();                   // errors of the thread surface here
    double waited_seconds() const;  // time next() spent waiting, in all

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Fixed evaluation windows: disjoint, evenly spread over the file, at most eval_tokens tokens (but
/// one window at least); the same for every call. Starts in ascending order; a window reads
/// n_ctx + 1 tokens.
std::vector<int64_t> eval_window_starts(int64_t n_tokens, int64_t n_ctx, int64_t eval_tokens);
/// SHA-256 over starts, n_ctx and the file's hash: runs compare only when equal.
std::string eval_windows_sha256(const std::vector<int64_t>& starts, int64_t n_ctx,
                                const std::string& file_sha256);

}  // namespace knlp::data
