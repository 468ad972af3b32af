#pragma once

#include "knlp/bench/record.h"
#include "knlp/config/model.h"
#include "knlp/config/train.h"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace knlp::bench {

/// Files of a model, on the disk that holds `directory`.
struct StorageRequest {
    config::Model model;  // vocab_size 0: 257
    config::Optimizer optimizer;
    uint64_t seed = 1;
    int64_t threads = 0;  // 0 = usable cores
    int64_t samples = 7;
    int64_t copy_bytes = 0;  // checkpoint: the array copied in turns, as MemoryMeter takes it
    std::filesystem::path directory;  // must exist; what is written below it is deleted
};

/// "checkpoint": seconds to save weights and optimizer state as a run does, copying and hashing
/// included, until they are on the disk; rivals in turns "write + fsync" of as many bytes in one
/// file and, where there is one, "dd" (bs=4M conv=fsync, of zeros). results mb_per_s, ratio and
/// ratio_dd (rate over theirs), stall_ms (what training waits for: the copy), copy_ms and
/// fresh_copy_ms (as many bytes copied in turns, within memory in use and into memory that the
/// system gives for it), stall_over_copy and stall_over_fresh_copy. Error{kRun, "E_DISK"} when
/// there is no room for three of them.
Record bench_checkpoint(const StorageRequest& request);

/// "load.model": opening a model of such a size, weights in memory at the end, from the page cache;
/// rival "read" of its file into memory. "load.tokens": mapping a token file and reading all of it.
std::vector<Record> bench_load(const StorageRequest& request);

/// Error{kRun, "E_MEMORY"} unless what they hold will fit: with the three largest terms.
void require_checkpoint_memory(const StorageRequest& request);
void require_load_memory(const StorageRequest& request);

}  // namespace knlp::bench
