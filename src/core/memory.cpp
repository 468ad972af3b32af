#include "knlp/core/memory.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

namespace knlp {

namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;

/// Tells the kernel something about the whole pages of these bytes.
void advise_whole_pages(const void* begin, int64_t bytes, int advice) {
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto address = reinterpret_cast<uintptr_t>(begin);
    const uintptr_t first = (address + page - 1) / page * page;
    const uintptr_t last = (address + static_cast<uintptr_t>(bytes)) / page * page;
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, advice);
}

}  // namespace

void keep_freed_memory() {
    // Setting one of them ends glibc's own adjustment of both. 32 MiB is where that would stop too;
    // what is larger still goes straight to the kernel, or holes would hold the peak up.
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, static_cast<int>(kMostFreedKept));
}

void give_back_freed_memory() {
    malloc_trim(0);
}

void prefer_huge_pages(void* begin, int64_t bytes) {
    if (bytes >= kHugePage) advise_whole_pages(begin, bytes, MADV_HUGEPAGE);
}

void forget_pages(const void* begin, int64_t bytes) {
    advise_whole_pages(begin, bytes, MADV_DONTNEED);
}

}  // namespace knlp
