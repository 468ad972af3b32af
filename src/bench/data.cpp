#include "knlp/bench/bench.h"
#include "knlp/data/batches.h"
#include "tokens.h"

namespace knlp::bench {

Record bench_data(const StepRequest& wanted) {
    const StepRequest request = completed(wanted);
    const BenchTokens tokens(request);
    const int64_t n_ctx = request.model.n_ctx;
    Record record{.what = "data.batch",
                  .shape = {{"batch", request.batch}, {"n_ctx", n_ctx}},
                  .types = {{"tokens", tokens.random() ? "random" : "file"}},
                  // Read 2 bytes a token (twice: input and target), write two int64 a token.
                  .bytes_moved = request.batch * n_ctx * (2 + 2 * 8),
                  .goal = "under 1 % of a step (data_share of the step benchmark)"};
    int64_t step = 0;
    record.timing = measure(
        [&] { data::make_batch(tokens.file(), request.seed, step++, 0, request.batch, n_ctx); },
        {.warm_up = 3, .samples = 30, .min_sample_s = 0.005});
    record.results["tokens_per_s"] =
        static_cast<double>(request.batch * n_ctx) / record.timing.median_s;
    return record;
}

}  // namespace knlp::bench
