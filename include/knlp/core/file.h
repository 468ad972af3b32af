#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp {

class PieceWriter;
class Xxh3;

/// Whole file as text. Throws Error{kData} naming the path when it cannot be read, or when it is
/// larger than max_bytes.
std::string read_file(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 40);

/// A file being made under a temporary name beside `path`. Nothing is seen at `path` until
/// commit(), which writes, fsyncs, renames and fsyncs the directory. Destroyed without commit: the
/// temporary is unlinked. Failures throw Error{kRun, "E_IO"} with path and errno text.
class AtomicFile {
public:
    explicit AtomicFile(std::filesystem::path path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;
    /// Says before the first write how many bytes will come. Room for a large file is set aside at
    /// once, so that a full disk is found before anything is written, and its bytes go past the
    /// page cache where the file system allows it.
    void expect(int64_t bytes);
    void write(std::span<const std::byte> bytes);
    void write(std::string_view text);
    int64_t bytes_written() const { return bytes_; }
    uint64_t xxh3() const;  // of all bytes; after commit()
    void commit();

private:
    void flush();

    std::filesystem::path path_, temporary_;
    int fd_ = -1;
    int64_t bytes_ = 0, expected_ = -1;
    std::vector<std::byte> buffer_;
    std::byte* piece_ = nullptr;  // being filled: of buffer_, or of pieces_ for a large file
    size_t used_ = 0, capacity_ = 0;
    std::unique_ptr<PieceWriter> pieces_;
    std::unique_ptr<Xxh3> hash_;
};

/// AtomicFile in one call.
void write_file_atomic(const std::filesystem::path& path, std::string_view text);

/// Appends whole lines to a log such as metrics.jsonl; one write(2) a call, so lines never mix.
class AppendFile {
public:
    explicit AppendFile(const std::filesystem::path& path);
    ~AppendFile();
    AppendFile(const AppendFile&) = delete;
    AppendFile& operator=(const AppendFile&) = delete;
    void append(std::string_view text);
    void sync();           // fsync
    int64_t size() const;  // bytes in the file now

private:
    std::filesystem::path path_;
    int fd_ = -1;
};

/// Read-only mapping of a whole file. An empty file maps to an empty span.
class MappedFile {
public:
    explicit MappedFile(const std::filesystem::path& path);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    std::span<const std::byte> bytes() const { return {data_, size_}; }
    std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
    const std::byte* data_ = nullptr;
    size_t size_ = 0;
};

/// fsync of a directory, so that a rename in it lasts.
void sync_directory(const std::filesystem::path& directory);

/// ${XDG_CACHE_HOME:-~/.cache}/knlp, not created; empty when neither variable is an absolute path.
std::filesystem::path cache_directory();

/// Throws Error{kRun, "E_IO"}: "<path>: <what>: <text of errno>" and what to do about a full or
/// read-only place.
[[noreturn]] void fail_io(const std::filesystem::path& path, std::string_view what,
                          int error_number);

/// Gunzips a whole .gz file (RFC 1952, one or more members). Throws Error{kData} on damage.
std::string read_gzip(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 32);

/// Exclusive advisory lock (flock) on `path`, created if absent, released on destruction. Throws
/// Error{kLocked} naming the holder's pid when another process has it.
class FileLock {
public:
    explicit FileLock(std::filesystem::path path);
    ~FileLock();
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

private:
    std::filesystem::path path_;
    int fd_ = -1;
};

}  // namespace knlp
