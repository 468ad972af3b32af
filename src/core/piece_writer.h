#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace knlp {

/// Writes a large file past the page cache, two pieces at a time while the next is being filled:
/// with one request at a time a disk waits for the processor and the processor for the disk.
class PieceWriter {
public:
    static constexpr size_t kBytes = size_t{8} << 20;  // of a full piece

    /// Switches `fd` to O_DIRECT where the file system knows it.
    explicit PieceWriter(int fd);
    ~PieceWriter();  // waits for what is being written
    PieceWriter(const PieceWriter&) = delete;
    PieceWriter& operator=(const PieceWriter&) = delete;

    /// An empty piece; waits until there is one.
    std::byte* take();
    /// Hands a full piece on to be written at `offset`, a multiple of kBytes.
    void give(std::byte* piece, int64_t offset);
    /// Waits for all pieces and switches O_DIRECT off: the end of a file is aligned to nothing.
    /// Returns the errno of the first that failed, or 0.
    int finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp
