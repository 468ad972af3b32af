#include "buffer.h"

#include "knlp/core/memory.h"

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
    if (unit == kHugePage) prefer_huge_pages(data_.get(), static_cast<int64_t>(rounded));
    bytes_ = bytes;
}

}  // namespace knlp::model
