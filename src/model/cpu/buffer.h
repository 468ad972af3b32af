#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace knlp::model {

/// Memory that is kept and used again: aligned to 64 bytes, on huge pages where it is large, never
/// cleared.
class Buffer {
public:
    /// Makes room for `bytes`; what was there is lost when it has to grow. std::bad_alloc.
    void reserve(int64_t bytes);
    std::byte* data() const { return data_.get(); }
    int64_t bytes() const { return bytes_; }

private:
    struct Free {
        void operator()(std::byte* p) const;
    };
    std::unique_ptr<std::byte, Free> data_;
    int64_t bytes_ = 0;
};

}  // namespace knlp::model
