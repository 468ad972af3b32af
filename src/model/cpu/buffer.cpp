#include "buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace knlp::model {

namespace {

constexpr size_t kLine = 64, kHugePage = size_t{2} << 20;

}  // namespace

void Buffer::Free::operator()(std::byte* p) const {
    std::free(p);
}

void Buffer::reserve(int64_t bytes) {
    if (bytes <= bytes_) return;
    data_.reset();  // before the new memory is asked for: both at once may not fit
    bytes_ = 0;
    const size_t size = static_cast<size_t>(bytes);
    const size_t unit = size >= 2 * kHugePage ? kHugePage : kLine;
    const size_t rounded = (size + unit - 1) / unit * unit;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(unit, rounded)));
    if (data_ == nullptr) throw std::bad_alloc();
    // Advice only: a kernel without huge pages refuses it and everything still works.
    if (unit == kHugePage) ::madvise(data_.get(), rounded, MADV_HUGEPAGE);
    bytes_ = bytes;
}

}  // namespace knlp::model
