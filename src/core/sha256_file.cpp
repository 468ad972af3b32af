#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/memory.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace knlp {

namespace fs = std::filesystem;

namespace {

/// Files below this are read again each time: quicker than a cache entry.
constexpr int64_t kCachedFromBytes = int64_t{1} << 20;

/// What a remembered hash stands for. ctime too, because mtime can be set back.
std::string identity(const struct stat& info) {
    return fmt::format("{} {} {} {}.{:09} {}.{:09}", info.st_dev, info.st_ino, info.st_size,
                       info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ctim.tv_sec,
                       info.st_ctim.tv_nsec);
}

fs::path cache_entry(const std::string& key) {
    const fs::path base = cache_directory();
    if (base.empty()) return {};
    return base / "sha256" / fmt::format("{:016x}", xxh3(std::as_bytes(std::span(key))));
}

/// The remembered hash, or "".
std::string recall(const fs::path& entry, const std::string& key) {
    std::error_code ignored;
    if (entry.empty() || !fs::is_regular_file(entry, ignored)) return "";
    std::string text;
    try {
        text = read_file(entry, 4096);
    } catch (const Error&) {
        return "";
    }
    // "<key>\n<64 digits>\n"
    if (text.size() != key.size() + 66 || !text.starts_with(key + "\n")) return "";
    std::string hex = text.substr(key.size() + 1, 64);
    const bool good = hex.find_first_not_of("0123456789abcdef") == std::string::npos;
    return good ? hex : "";
}

void remember(const fs::path& entry, const std::string& key, const std::string& hex) {
    if (entry.empty()) return;
    std::error_code failed;
    fs::create_directories(entry.parent_path(), failed);
    if (failed) return;
    try {
        write_file_atomic(entry, key + "\n" + hex + "\n");
    } catch (const Error&) {
        // A cache that cannot be written only costs time.
    }
}

}  // namespace

std::string sha256_file(const fs::path& path) {
    struct stat before {};
    if (::stat(path.c_str(), &before) != 0)
        fail(kData, "{}: cannot open: {}", path.string(), std::strerror(errno));
    const std::string key = identity(before);
    const bool cached = before.st_size >= kCachedFromBytes;
    const fs::path entry = cached ? cache_entry(key) : fs::path();
    if (std::string known = recall(entry, key); !known.empty()) return known;

    const MappedFile file(path);
    std::span<const std::byte> rest = file.bytes();
    Sha256 hash;
    while (!rest.empty()) {
        const std::span<const std::byte> part =
            rest.first(std::min<size_t>(rest.size(), size_t{1} << 24));
        hash.update(part);
        forget_pages(part.data(), std::ssize(part));  // a corpus may be larger than the memory
        rest = rest.subspan(part.size());
    }
    std::string hex = hash.hex();

    // A file changed just now could change again within the clock's granularity without a new
    // mtime.
    struct stat after {};
    const bool settled = wall_seconds() - static_cast<double>(before.st_ctim.tv_sec) > 2.0;
    if (settled && ::stat(path.c_str(), &after) == 0 && identity(after) == key)
        remember(entry, key, hex);
    return hex;
}

}  // namespace knlp
