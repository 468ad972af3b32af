#pragma once

#include <cstdint>

namespace knlp {

/// Freed memory at the end of the heap that the C library keeps after keep_freed_memory().
inline constexpr int64_t kMostFreedKept = int64_t{64} << 20;

/// Has the C library keep the blocks below 32 MiB that are given back to it: a training step asks
/// for the same ones again, and a page that went back to the kernel costs a fault and a clearing.
void keep_freed_memory();

/// Returns to the system what was freed and kept so far: after something large that is not done
/// again.
void give_back_freed_memory();

/// Asks the kernel for huge pages wherever whole ones fit into these bytes: for memory that lives
/// long and is walked through often, before it is first touched. Blocks below 2 MiB are left alone.
/// Advice only: where the kernel has none to give, nothing changes.
void prefer_huge_pages(void* begin, int64_t bytes);

/// Takes the whole pages of these bytes of a mapped, read-only file out of this process; a later
/// access reads them again. Other memory would lose what it holds.
void forget_pages(const void* begin, int64_t bytes);

}  // namespace knlp
