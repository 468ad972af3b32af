#include "knlp/data/token_file.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "knlp/core/hash.h"
#include "knlp/core/memory.h"
#include "src/data/token_layout.h"

namespace knlp::data {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

namespace {

// Windows at random places would end with the whole file in this process's memory. The kernel keeps
// it all the same; this much of it stays mapped.
constexpr int64_t kMostMapped = int64_t{8} << 20;
constexpr int64_t kAroundAFault = int64_t{64} << 10;  // what the kernel maps where one is read

struct Shard {
    MappedFile file;
    const std::byte* tokens = nullptr;  // [count] of width bytes
    int64_t count = 0, width = 2;
    int64_t first = 0;  // position of its first token in the whole

    int64_t id(int64_t i) const {
        if (width == 2) {
            uint16_t value;
            std::memcpy(&value, tokens + 2 * i, 2);
            return value;
        }
        uint32_t value;
        std::memcpy(&value, tokens + 4 * i, 4);
        return value;
    }
};

/// Sets tokens and count of a file that begins with the llm.c magic.
void read_llmc_header(Shard& shard, const std::string& name, int64_t bytes) {
    if (bytes < kLlmcHeaderBytes)
        fail(kData,
             "{}: {} bytes, but the llm.c header it begins with has {}; the file is cut short",
             name, bytes, kLlmcHeaderBytes);
    int32_t version, count;
    std::memcpy(&version, shard.file.bytes().data() + 4, 4);
    std::memcpy(&count, shard.file.bytes().data() + 8, 4);
    if (version != kLlmcVersion)
        fail(kData, "{}: byte 4: llm.c version {}, expected {} (uint16 tokens)", name, version,
             kLlmcVersion);
    const int64_t expected = kLlmcHeaderBytes + 2 * int64_t{count};
    if (count < 0 || bytes != expected)
        fail(kData, "{}: byte 8: header says {} tokens, so {} bytes, file has {}; copy it again",
             name, count, expected, bytes);
    shard.tokens = shard.file.bytes().data() + kLlmcHeaderBytes;
    shard.count = count;
    shard.width = 2;
}

Shard open_shard(const fs::path& path, int64_t width_bytes, int64_t least) {
    Shard shard{.file = MappedFile(path)};
    const std::string name = path.string();
    const int64_t bytes = std::ssize(shard.file.bytes());
    int32_t magic = 0;
    if (bytes >= 4) std::memcpy(&magic, shard.file.bytes().data(), 4);
    if (magic == kLlmcMagic) {
        read_llmc_header(shard, name, bytes);
    } else {
        if (bytes % width_bytes != 0)
            fail(
                kData,
                "{}: {} bytes is not a whole number of {}-byte tokens; the file is cut short or of "
                "another type",
                name, bytes, width_bytes);
        shard.tokens = shard.file.bytes().data();
        shard.count = bytes / width_bytes;
        shard.width = width_bytes;
    }
    if (shard.count < least)
        fail(kData, "{}: {} tokens ({} bytes), expected at least {}: an input and its target", name,
             shard.count, bytes, least);
    return shard;
}

int64_t largest_id(const Shard& shard) {
    int64_t largest = 0;
    for (int64_t i = 0; i < shard.count; ++i) largest = std::max(largest, shard.id(i));
    return largest;
}

/// What makes a remembered result stale.
struct FileStamp {
    int64_t size = 0, mtime_ns = 0, inode = 0;
};

std::optional<FileStamp> stamp_of(const fs::path& path) {
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return FileStamp{status.st_size,
                     int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec,
                     static_cast<int64_t>(status.st_ino)};
}

/// Places of the remembered result, best first.
std::vector<fs::path> memory_paths(const fs::path& path) {
    std::vector<fs::path> places = {path.string() + ".knlp-ok"};
    const fs::path cache = cache_directory();
    if (!cache.empty()) {
        const std::string absolute = fs::absolute(path).lexically_normal().string();
        places.push_back(cache / "token-files" / (sha256_hex(absolute).substr(0, 32) + ".knlp-ok"));
    }
    return places;
}

std::optional<int64_t> remembered_max(const fs::path& path, const FileStamp& stamp) {
    for (const fs::path& place : memory_paths(path)) {
        std::error_code ignored;
        if (!fs::exists(place, ignored)) continue;
        try {
            const nlohmann::json memory = read_json(place, 4096);
            if (memory.at("size") == stamp.size && memory.at("mtime_ns") == stamp.mtime_ns &&
                memory.at("inode") == stamp.inode)
                return memory.at("max_id").get<int64_t>();
        } catch (const std::exception&) {
            // A damaged memory is only a memory: the file is scanned again.
        }
    }
    return std::nullopt;
}

void remember_max(const fs::path& path, const FileStamp& stamp, int64_t max_id) {
    const std::string text = canonical_json({{"size", stamp.size},
                                             {"mtime_ns", stamp.mtime_ns},
                                             {"inode", stamp.inode},
                                             {"max_id", max_id}}) +
                             "\n";
    for (const fs::path& place : memory_paths(path)) {
        try {
            if (place != path.string() + ".knlp-ok") fs::create_directories(place.parent_path());
            write_file_atomic(place, text);
            return;
        } catch (const std::exception&) {
            // Read-only data directory: try the next place; without any the next run scans again.
        }
    }
}

int64_t known_max(const Shard& shard, const fs::path& path) {
    const std::optional<FileStamp> stamp = stamp_of(path);
    if (stamp)
        if (const std::optional<int64_t> max_id = remembered_max(path, *stamp)) return *max_id;
    const int64_t max_id = largest_id(shard);
    forget_pages(shard.file.bytes().data(), std::ssize(shard.file.bytes()));
    if (stamp) remember_max(path, *stamp, max_id);
    return max_id;
}

}  // namespace

struct TokenFile::State {
    std::vector<fs::path> paths;
    std::vector<Shard> shards;
    int64_t size = 0;
    std::atomic<int64_t> mapped{0};  // bytes, about, that reading has brought in

    void count_read(int64_t tokens) {
        const int64_t brought = kAroundAFault + 4 * tokens;
        if (mapped.fetch_add(brought) + brought < kMostMapped) return;
        mapped = 0;
        for (const Shard& shard : shards)
            forget_pages(shard.file.bytes().data(), std::ssize(shard.file.bytes()));
    }
};

int64_t token_width(int64_t vocab_size) {
    return vocab_size <= kMaxVocab16 ? 2 : 4;
}

TokenFile::TokenFile() : state_(std::make_unique<State>()) {}
TokenFile::~TokenFile() = default;
TokenFile::TokenFile(TokenFile&&) noexcept = default;
TokenFile& TokenFile::operator=(TokenFile&&) noexcept = default;

TokenFile TokenFile::open(const std::vector<fs::path>& shards, int64_t width_bytes, int64_t least) {
    KNLP_CHECK(!shards.empty() && (width_bytes == 2 || width_bytes == 4));
    TokenFile file;
    for (const fs::path& path : shards) {
        Shard shard = open_shard(path, width_bytes, least);
        shard.first = file.state_->size;
        file.state_->size += shard.count;
        file.state_->shards.push_back(std::move(shard));
    }
    file.state_->paths = shards;
    return file;
}

int64_t TokenFile::size() const {
    return state_->size;
}
const std::vector<fs::path>& TokenFile::paths() const {
    return state_->paths;
}

void TokenFile::read(int64_t begin, std::span<int64_t> out) const {
    KNLP_CHECK(begin >= 0 && std::ssize(out) <= size() - begin);
    const std::vector<Shard>& shards = state_->shards;
    auto shard =
        std::upper_bound(shards.begin(), shards.end(), begin,
                         [](int64_t position, const Shard& s) { return position < s.first; }) -
        1;
    for (size_t done = 0; done < out.size(); ++shard) {
        const int64_t from = begin + static_cast<int64_t>(done) - shard->first;
        const int64_t n = std::min(shard->count - from, static_cast<int64_t>(out.size() - done));
        for (int64_t i = 0; i < n; ++i) out[done + static_cast<size_t>(i)] = shard->id(from + i);
        done += static_cast<size_t>(n);
    }
    state_->count_read(std::ssize(out));
}

int64_t TokenFile::max_id() const {
    int64_t largest = 0;
    for (size_t s = 0; s < state_->shards.size(); ++s)
        largest = std::max(largest, known_max(state_->shards[s], state_->paths[s]));
    return largest;
}

void TokenFile::check_vocabulary(int64_t vocab_size) const {
    for (size_t s = 0; s < state_->shards.size(); ++s) {
        const Shard& shard = state_->shards[s];
        if (known_max(shard, state_->paths[s]) < vocab_size) continue;
        const int64_t header = shard.tokens - shard.file.bytes().data();
        for (int64_t i = 0; i < shard.count; ++i)
            if (shard.id(i) >= vocab_size)
                fail(kData,
                     "{}: token {} at position {} is outside vocabulary {} (byte {}); the file was "
                     "made with another tokenizer, or the model's vocab_size is too small",
                     state_->paths[s].string(), shard.id(i), i, vocab_size,
                     header + i * shard.width);
    }
}

}  // namespace knlp::data
