#include "knlp/core/file.h"

#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "piece_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

namespace knlp {

namespace fs = std::filesystem;

void fail_io(const fs::path& path, std::string_view what, int error_number) {
    const std::string reason = std::strerror(error_number);
    const std::string_view advice =
        error_number == ENOSPC || error_number == EDQUOT
            ? "; free space there or choose another place"
        : error_number == EACCES || error_number == EPERM || error_number == EROFS
            ? "; make it writable or choose another place"
            : "";
    fail_code(kRun, "E_IO", "{}: {}: {}{}", path.string(), what, reason, advice);
}

namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
/// Directory part of a path, "." when it has none.
fs::path parent_of(const fs::path& path) {
    const fs::path parent = path.parent_path();
    return parent.empty() ? fs::path(".") : parent;
}

/// Writes all bytes; short writes and EINTR are gone on with. Returns 0 or errno; `rest` is what
/// was not written.
int write_all(int fd, std::span<const std::byte>& rest) {
    while (!rest.empty()) {
        const ssize_t n = ::write(fd, rest.data(), rest.size());
        if (n < 0) {
            if (errno == EINTR) continue;
            return errno;
        }
        rest = rest.subspan(static_cast<size_t>(n));
    }
    return 0;
}

int open_for_reading(const fs::path& path) {
    int fd = -1;
    do {
        fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) fail(kData, "{}: cannot open: {}", path.string(), std::strerror(errno));
    return fd;
}

/// Closes the descriptor when its scope ends.
struct Descriptor {
    explicit Descriptor(int number) : fd(number) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { ::close(fd); }
    int fd;
};

}  // namespace

std::string read_file(const fs::path& path, int64_t max_bytes) {
    const Descriptor file(open_for_reading(path));
    struct stat info {};
    if (::fstat(file.fd, &info) != 0)
        fail(kData, "{}: cannot stat: {}", path.string(), std::strerror(errno));
    if (S_ISDIR(info.st_mode))
        fail(kData, "{}: is a directory, a file was expected", path.string());
    if (info.st_size > max_bytes)
        fail(kData, "{}: {} bytes, at most {} are accepted here", path.string(), info.st_size,
             max_bytes);

    // Files below /proc and pipes have size 0 and still content, so reading goes on to the end of
    // file.
    std::string text(static_cast<size_t>(info.st_size) + 1, '\0');
    size_t used = 0;
    for (;;) {
        if (used == text.size()) text.resize(text.size() * 2 + 4096);
        const ssize_t n = ::read(file.fd, text.data() + used, text.size() - used);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(kData, "{}: cannot read: {}", path.string(), std::strerror(errno));
        if (n == 0) break;
        used += static_cast<size_t>(n);
        if (std::cmp_greater(used, max_bytes))
            fail(kData, "{}: more than {} bytes, which is the most accepted here", path.string(),
                 max_bytes);
    }
    text.resize(used);
    return text;
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
    if (path_.filename().empty()) fail(kUsage, "'{}' does not name a file", path_.string());
    std::random_device random;
    for (int attempt = 0; attempt < 100 && fd_ < 0; ++attempt) {
        temporary_ = parent_of(path_) / fmt::format(".{}.tmp.{}.{:08x}", path_.filename().string(),
                                                    ::getpid(), random());
        fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd_ < 0 && errno != EEXIST && errno != EINTR) break;
    }
    if (fd_ < 0) fail_io(path_, "cannot create", errno);
    hash_ = std::make_unique<Xxh3>();
}

AtomicFile::~AtomicFile() {
    pieces_.reset();  // its threads write to fd_
    if (fd_ >= 0) ::close(fd_);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::expect(int64_t bytes) {
    KNLP_CHECK(fd_ >= 0 && bytes_ == 0 && bytes >= 0);
    expected_ = bytes;
    if (std::cmp_less(bytes, 2 * PieceWriter::kBytes)) return;
    int result = 0;
    do {
        result = ::fallocate(fd_, 0, 0, bytes);
    } while (result != 0 && errno == EINTR);
    // Where space cannot be set aside, the writes will tell.
    if (result != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
        fail_io(path_, fmt::format("no room for {} bytes", bytes), errno);
    pieces_ = std::make_unique<PieceWriter>(fd_);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
    KNLP_CHECK(fd_ >= 0);
    while (!bytes.empty()) {
        if (piece_ == nullptr) {
            if (!pieces_) buffer_.resize(kBufferBytes);
            piece_ = pieces_ ? pieces_->take() : buffer_.data();
            capacity_ = pieces_ ? PieceWriter::kBytes : buffer_.size();
        }
        const size_t n = std::min(capacity_ - used_, bytes.size());
        std::memcpy(piece_ + used_, bytes.data(), n);
        used_ += n;
        bytes_ += static_cast<int64_t>(n);
        bytes = bytes.subspan(n);
        if (used_ == capacity_) flush();
    }
}

void AtomicFile::write(std::string_view text) {
    write(std::as_bytes(std::span(text)));
}

void AtomicFile::flush() {
    std::span<const std::byte> rest(piece_, used_);
    const int64_t offset = bytes_ - static_cast<int64_t>(used_);
    hash_->update(rest);
    used_ = 0;
    if (pieces_ && rest.size() == capacity_) {
        pieces_->give(std::exchange(piece_, nullptr), offset);
        return;
    }
    int error_number = pieces_ ? pieces_->finish() : 0;
    if (error_number == 0 && pieces_ && ::lseek(fd_, offset, SEEK_SET) < 0) error_number = errno;
    if (error_number == 0) error_number = write_all(fd_, rest);
    if (error_number != 0) fail_io(path_, "cannot write", error_number);
}

uint64_t AtomicFile::xxh3() const {
    KNLP_CHECK(fd_ < 0);
    return hash_->value();
}

void AtomicFile::commit() {
    KNLP_CHECK(fd_ >= 0 && (expected_ < 0 || expected_ == bytes_));
    if (used_ > 0) flush();
    if (const int error_number = pieces_ ? pieces_->finish() : 0; error_number != 0)
        fail_io(path_, "cannot write", error_number);
    pieces_.reset();
    if (::fsync(fd_) != 0) fail_io(path_, "cannot fsync", errno);
    if (::close(std::exchange(fd_, -1)) != 0) fail_io(path_, "cannot close", errno);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0)
        fail_io(path_, "cannot rename into place", errno);
    temporary_.clear();
    sync_directory(parent_of(path_));
}

uint64_t xxh3_file(const fs::path& path) {
    const Descriptor file(open_for_reading(path));
    ::posix_fadvise(file.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    std::vector<std::byte> piece(kBufferBytes);
    Xxh3 hash;
    for (;;) {
        const ssize_t n = ::read(file.fd, piece.data(), piece.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(kData, "{}: cannot read: {}", path.string(), std::strerror(errno));
        if (n == 0) return hash.value();
        hash.update({piece.data(), static_cast<size_t>(n)});
    }
}

void write_file_atomic(const fs::path& path, std::string_view text) {
    AtomicFile file(path);
    file.write(text);
    file.commit();
}

void sync_directory(const fs::path& directory) {
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail_io(directory, "cannot open directory", errno);
    const Descriptor closer(fd);
    // Some file systems (FUSE, 9p) cannot fsync a directory and say EINVAL; there is nothing more
    // to do.
    if (::fsync(fd) != 0 && errno != EINVAL) fail_io(directory, "cannot fsync directory", errno);
}

AppendFile::AppendFile(const fs::path& path) : path_(path) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd_ < 0) fail_io(path_, "cannot open for appending", errno);
}

AppendFile::~AppendFile() {
    ::close(fd_);
}

void AppendFile::append(std::string_view text) {
    const int64_t before = size();
    std::span<const std::byte> rest = std::as_bytes(std::span(text));
    const int error_number = write_all(fd_, rest);
    if (error_number == 0) return;
    // Half a line must not stay: readers treat the last line as damaged only at the end of the
    // file.
    const bool undone = ::ftruncate(fd_, before) == 0;
    fail_io(path_, undone ? "cannot append" : "cannot append, part of a line is left",
            error_number);
}

void AppendFile::sync() {
    if (::fsync(fd_) != 0) fail_io(path_, "cannot fsync", errno);
}

int64_t AppendFile::size() const {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) fail_io(path_, "cannot stat", errno);
    return info.st_size;
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
    struct stat info {};
    // Asked before opening: opening a FIFO would wait for its writer.
    if (::stat(path.c_str(), &info) != 0)
        fail(kData, "{}: cannot open: {}", path.string(), std::strerror(errno));
    if (!S_ISREG(info.st_mode)) fail(kData, "{}: is not a regular file", path.string());
    const Descriptor file(open_for_reading(path));
    if (::fstat(file.fd, &info) != 0)
        fail(kData, "{}: cannot stat: {}", path.string(), std::strerror(errno));
    if (info.st_size == 0) return;
    void* address =
        ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (address == MAP_FAILED)
        fail(kData, "{}: cannot map {} bytes: {}", path.string(), info.st_size,
             std::strerror(errno));
    data_ = static_cast<const std::byte*>(address);
    size_ = static_cast<size_t>(info.st_size);
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

FileLock::FileLock(fs::path path) : path_(std::move(path)) {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) fail_io(path_, "cannot open the lock file", errno);
    int result = 0;
    do {
        result = ::flock(fd_, LOCK_EX | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        const int error_number = errno;
        char text[32] = {};
        const ssize_t n = ::pread(fd_, text, sizeof text - 1, 0);
        ::close(std::exchange(fd_, -1));
        if (error_number != EWOULDBLOCK) fail_io(path_, "cannot lock", error_number);
        const int64_t pid = n > 0 ? std::strtoll(text, nullptr, 10) : 0;
        fail(kLocked, "{}: in use by {}; wait for it, or end it first", path_.string(),
             pid > 0 ? fmt::format("process {}", pid) : std::string("another process"));
    }
    // The pid is for people; the lock itself is the flock, so a failure to write it is harmless.
    const std::string pid = fmt::format("{}\n", ::getpid());
    if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, pid.data(), pid.size(), 0) < 0) errno = 0;
}

FileLock::~FileLock() {
    // The file stays: unlinking it would let two processes lock two different files of one name.
    if (fd_ >= 0) ::close(fd_);
}

fs::path cache_directory() {
    const char* base = std::getenv("XDG_CACHE_HOME");
    if (base != nullptr && base[0] == '/') return fs::path(base) / "knlp";
    const char* home = std::getenv("HOME");
    if (home != nullptr && home[0] == '/') return fs::path(home) / ".cache" / "knlp";
    return {};
}

}  // namespace knlp
