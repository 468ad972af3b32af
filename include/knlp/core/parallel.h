#pragma once

#include <cstdint>
#include <functional>

namespace knlp {

/// Calls work(i) for every i in [0, n) on up to `threads` threads, the calling one among them;
/// returns when all are done. Items are handed out in ascending order; results must not depend on
/// who takes which. When calls throw, the exception of the lowest i that threw is rethrown here and
/// items not yet begun are dropped. Worker threads block all signals.
void parallel_for(int64_t threads, int64_t n, const std::function<void(int64_t)>& work);

/// Blocks every signal in the calling thread, for loader and worker threads: signals then reach
/// main.
void block_signals();

}  // namespace knlp
