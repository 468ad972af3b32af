#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace knlp {

/// Streaming SHA-256 (FIPS 180-4).
class Sha256 {
public:
    Sha256();
    ~Sha256();
    void update(std::span<const std::byte> bytes);
    void update(std::string_view text);
    std::string hex();  // 64 lower-case digits; call once

private:
    struct State;
    std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view text);

/// SHA-256 of a file's content; remembered per (device, inode, size, mtime) in the user's cache
/// directory, so a large corpus is read once.
std::string sha256_file(const std::filesystem::path& path);

/// XXH3-64 of bytes.
uint64_t xxh3(std::span<const std::byte> bytes);

/// The same of bytes that come in parts.
class Xxh3 {
public:
    Xxh3();
    ~Xxh3();
    void update(std::span<const std::byte> bytes);
    uint64_t value() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// XXH3-64 of what a file holds now; nothing is remembered. Error{kData} when it cannot be read.
uint64_t xxh3_file(const std::filesystem::path& path);

/// FNV-1a 64 of text (offset basis 14695981039346656037, prime 1099511628211).
uint64_t fnv1a64(std::string_view text);

/// CRC-32C (Castagnoli); crc32c("123456789") = 0xE3069283.
uint32_t crc32c(std::span<const std::byte> bytes);

std::string base64_encode(std::span<const std::byte> bytes);
/// Throws Error{kData} on a character outside the alphabet or bad padding.
std::string base64_decode(std::string_view text);

}  // namespace knlp
