#include "knlp/data/batches.h"

#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/core/rng.h"
#include "knlp/data/token_file.h"

#include <algorithm>

namespace knlp::data {

namespace {

void require_tokens(const std::string& what, int64_t n_tokens, int64_t n_ctx) {
    KNLP_CHECK(n_ctx >= 1);
    if (n_tokens < n_ctx + 1)
        fail(kData,
             "{}: {} tokens, need at least {} for one window of {} and its target; use more text "
             "or a shorter context",
             what, n_tokens, n_ctx + 1, n_ctx);
}

}  // namespace

void require_window(const TokenFile& tokens, int64_t n_ctx) {
    require_tokens(tokens.paths().front().string(), tokens.size(), n_ctx);
}

int64_t window_start(uint64_t seed, const std::string& split, uint64_t batch, uint64_t row,
                     int64_t n_tokens, int64_t n_ctx) {
    require_tokens(split + " tokens", n_tokens, n_ctx);
    const Stream stream(seed, "data/" + split);
    return static_cast<int64_t>(stream.u64(batch, row) % static_cast<uint64_t>(n_tokens - n_ctx));
}

Batch read_windows(const TokenFile& tokens, std::span<const int64_t> starts, int64_t n_ctx) {
    Batch batch{.rows = std::ssize(starts), .n_ctx = n_ctx};
    batch.inputs.resize(static_cast<size_t>(batch.rows * n_ctx));
    batch.targets.resize(batch.inputs.size());
    std::vector<int64_t> window(static_cast<size_t>(n_ctx) + 1);
    for (int64_t row = 0; row < batch.rows; ++row) {
        tokens.read(starts[static_cast<size_t>(row)], window);
        std::copy(window.begin(), window.end() - 1, batch.inputs.begin() + row * n_ctx);
        std::copy(window.begin() + 1, window.end(), batch.targets.begin() + row * n_ctx);
    }
    return batch;
}

Batch make_batch(const TokenFile& tokens, uint64_t seed, int64_t step, int64_t first_row,
                 int64_t rows, int64_t n_ctx) {
    require_window(tokens, n_ctx);
    std::vector<int64_t> starts;
    for (int64_t row = first_row; row < first_row + rows; ++row)
        starts.push_back(window_start(seed, "train", static_cast<uint64_t>(step),
                                      static_cast<uint64_t>(row), tokens.size(), n_ctx));
    return read_windows(tokens, starts, n_ctx);
}

std::vector<int64_t> eval_window_starts(int64_t n_tokens, int64_t n_ctx, int64_t eval_tokens) {
    require_tokens("validation tokens", n_tokens, n_ctx);
    const int64_t fit = (n_tokens - 1) / n_ctx;
    const int64_t count = std::clamp<int64_t>(eval_tokens / n_ctx, 1, fit);
    const int64_t span = n_tokens - 1 - n_ctx;  // last possible start
    std::vector<int64_t> starts;
    for (int64_t i = 0; i < count; ++i)
        // Consecutive starts differ by floor(span / (count - 1)) >= n_ctx, because count * n_ctx <=
        // n_tokens - 1.
        starts.push_back(
            count == 1 ? 0 : static_cast<int64_t>(static_cast<__int128>(i) * span / (count - 1)));
    return starts;
}

std::string eval_windows_sha256(const std::vector<int64_t>& starts, int64_t n_ctx,
                                const std::string& file_sha256) {
    Sha256 hash;
    hash.update(fmt::format("{} {}\n", file_sha256, n_ctx));
    for (int64_t start : starts) hash.update(fmt::format("{}\n", start));
    return hash.hex();
}

}  // namespace knlp::data
