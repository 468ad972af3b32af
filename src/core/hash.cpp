#include "knlp/core/hash.h"

#include "knlp/core/error.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <array>

namespace knlp {

struct Sha256::State {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    KNLP_CHECK(state_->context != nullptr);
    KNLP_CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
    KNLP_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

void Sha256::update(std::string_view text) {
    update(std::as_bytes(std::span(text)));
}

std::string Sha256::hex() {
    std::array<unsigned char, 32> digest{};
    unsigned int length = 0;
    KNLP_CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), &length) == 1 && length == 32);
    std::string text;
    for (const unsigned char byte : digest) text += fmt::format("{:02x}", byte);
    return text;
}

std::string sha256_hex(std::string_view text) {
    Sha256 hash;
    hash.update(text);
    return hash.hex();
}

uint64_t xxh3(std::span<const std::byte> bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

struct Xxh3::State {
    XXH3_state_t* hash = XXH3_createState();
    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { XXH3_freeState(hash); }
};

Xxh3::Xxh3() : state_(std::make_unique<State>()) {
    KNLP_CHECK(state_->hash != nullptr && XXH3_64bits_reset(state_->hash) == XXH_OK);
}

Xxh3::~Xxh3() = default;

void Xxh3::update(std::span<const std::byte> bytes) {
    KNLP_CHECK(XXH3_64bits_update(state_->hash, bytes.data(), bytes.size()) == XXH_OK);
}

uint64_t Xxh3::value() const {
    return XXH3_64bits_digest(state_->hash);
}

uint64_t fnv1a64(std::string_view text) {
    uint64_t hash = 14695981039346656037u;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    return hash;
}

namespace {

/// table[k][b]: CRC of byte b followed by k zero bytes, so that eight bytes are folded at once.
using CrcTables = std::array<std::array<uint32_t, 256>, 8>;

constexpr CrcTables make_crc_tables() {
    CrcTables table{};
    for (uint32_t b = 0; b < 256; ++b) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0x82F63B78u : 0u);
        table[0][b] = crc;
    }
    for (size_t k = 1; k < 8; ++k)
        for (size_t b = 0; b < 256; ++b)
            table[k][b] = (table[k - 1][b] >> 8) ^ table[0][table[k - 1][b] & 0xffu];
    return table;
}

constexpr CrcTables kCrc = make_crc_tables();

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes) {
    uint32_t crc = ~uint32_t{0};
    const auto at = [&](size_t i) { return static_cast<uint32_t>(bytes[i]); };
    size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
        crc ^= at(i) | (at(i + 1) << 8) | (at(i + 2) << 16) | (at(i + 3) << 24);
        crc = kCrc[7][crc & 0xffu] ^ kCrc[6][(crc >> 8) & 0xffu] ^ kCrc[5][(crc >> 16) & 0xffu] ^
              kCrc[4][crc >> 24] ^ kCrc[3][at(i + 4)] ^ kCrc[2][at(i + 5)] ^ kCrc[1][at(i + 6)] ^
              kCrc[0][at(i + 7)];
    }
    for (; i < bytes.size(); ++i) crc = (crc >> 8) ^ kCrc[0][(crc ^ at(i)) & 0xffu];
    return ~crc;
}

std::string base64_encode(std::span<const std::byte> bytes) {
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (size_t i = 0; i < bytes.size(); i += 3) {
        const size_t have = std::min<size_t>(3, bytes.size() - i);
        uint32_t group = 0;
        for (size_t k = 0; k < 3; ++k)
            group = (group << 8) | (k < have ? static_cast<uint32_t>(bytes[i + k]) : 0);
        for (size_t k = 0; k < 4; ++k)
            text += k <= have ? kBase64[(group >> (18 - 6 * k)) & 63u] : '=';
    }
    return text;
}

std::string base64_decode(std::string_view text) {
    if (text.size() % 4 != 0)
        fail(kData, "base64 text of {} characters, a multiple of 4 was expected", text.size());
    std::string out;
    for (size_t i = 0; i < text.size(); i += 4) {
        uint32_t group = 0;
        size_t padding = 0;
        for (size_t k = 0; k < 4; ++k) {
            const char c = text[i + k];
            const size_t value = kBase64.find(c);
            const bool pads = c == '=' && i + 4 == text.size() && k >= 2;
            if (pads) ++padding;
            if (!pads && (value == std::string_view::npos || padding > 0))
                fail(kData, "base64 text: unexpected byte 0x{:02x} at position {}",
                     static_cast<unsigned char>(c), i + k);
            group = (group << 6) | (pads ? 0 : static_cast<uint32_t>(value));
        }
        // Bits below the padding must be zero, or two texts would mean the same bytes.
        if ((group & ((1u << (8 * padding)) - 1)) != 0)
            fail(kData, "base64 text: bits set below the padding");
        for (size_t k = 0; k + padding < 3; ++k)
            out += static_cast<char>((group >> (16 - 8 * k)) & 0xffu);
    }
    return out;
}

}  // namespace knlp
