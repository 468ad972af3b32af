#include "piece_writer.h"

#include "knlp/core/memory.h"
#include "knlp/core/parallel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace knlp {

namespace {

constexpr size_t kWriters = 2, kPieces = kWriters + 2;

bool set_direct(int fd, bool on) {
    const int flags = ::fcntl(fd, F_GETFL);
    return flags >= 0 && ::fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/// Returns 0 or errno; short writes and EINTR are gone on with.
int write_at(int fd, const std::byte* data, size_t size, int64_t offset) {
    bool direct = true;
    while (size > 0) {
        const ssize_t n = ::pwrite(fd, data, size, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EINVAL && direct) {
            // Accepted when asked for, refused when used: some file systems do.
            set_direct(fd, false);
            direct = false;
            continue;
        }
        if (n < 0) return errno;
        data += n;
        size -= static_cast<size_t>(n);
        offset += n;
    }
    return 0;
}

/// Pieces that go back to the system with the writer: the C library would keep them for the thread
/// that saved.
struct Unmap {
    void operator()(std::byte* bytes) const { ::munmap(bytes, kPieces * PieceWriter::kBytes); }
};
using Pieces = std::unique_ptr<std::byte[], Unmap>;

Pieces make_pieces() {
    constexpr size_t kAll = kPieces * PieceWriter::kBytes;
    void* at = ::mmap(nullptr, kAll, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    prefer_huge_pages(at, static_cast<int64_t>(kAll));
    return Pieces(static_cast<std::byte*>(at));
}

}  // namespace

struct PieceWriter::State {
    struct Full {
        std::byte* piece;
        int64_t offset;
    };
    int fd = -1;
    std::mutex mutex;
    std::condition_variable changed;
    Pieces memory = make_pieces();  // page-aligned, as O_DIRECT wants it
    std::vector<std::byte*> empty;
    std::deque<Full> full;
    int64_t writing = 0;
    int error = 0;
    bool stop = false;
    std::vector<std::thread> threads;

    void run() {
        block_signals();
        std::unique_lock lock(mutex);
        for (;;) {
            changed.wait(lock, [this] { return stop || !full.empty(); });
            if (full.empty()) return;
            const Full next = full.front();
            full.pop_front();
            ++writing;
            const bool pointless = error != 0;
            lock.unlock();
            const int result = pointless ? 0 : write_at(fd, next.piece, kBytes, next.offset);
            lock.lock();
            --writing;
            if (error == 0) error = result;
            empty.push_back(next.piece);
            changed.notify_all();
        }
    }
};

PieceWriter::PieceWriter(int fd) : state_(std::make_unique<State>()) {
    State& s = *state_;
    s.fd = fd;
    for (size_t i = 0; i < kPieces; ++i) s.empty.push_back(s.memory.get() + i * kBytes);
    set_direct(fd, true);
    for (size_t i = 0; i < kWriters; ++i) s.threads.emplace_back([&s] { s.run(); });
}

PieceWriter::~PieceWriter() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stop = true;
        state_->full.clear();
    }
    state_->changed.notify_all();
    for (std::thread& thread : state_->threads) thread.join();
}

std::byte* PieceWriter::take() {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [this] { return !state_->empty.empty(); });
    std::byte* piece = state_->empty.back();
    state_->empty.pop_back();
    return piece;
}

void PieceWriter::give(std::byte* piece, int64_t offset) {
    {
        const std::lock_guard lock(state_->mutex);
        state_->full.push_back({piece, offset});
    }
    state_->changed.notify_all();
}

int PieceWriter::finish() {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [this] { return state_->full.empty() && state_->writing == 0; });
    set_direct(state_->fd, false);
    return state_->error;
}

}  // namespace knlp
