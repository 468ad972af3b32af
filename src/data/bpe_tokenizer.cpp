#include "src/data/bpe_tokenizer.h"

#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "src/data/pretoken.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <unordered_map>

namespace knlp::data {

namespace {

constexpr int64_t kGpt2Vocab = 50257;

/// Words up to kKeyBytes - 1 bytes that give up to kIds tokens are remembered, one to a slot: text
/// repeats its words, and a look-up costs less than merging again. One cache line each.
struct alignas(64) Entry {
    static constexpr size_t kKeyBytes = 32, kIds = 7;
    std::array<uint64_t, kKeyBytes / 8>
        key{};  // the word's bytes, zeros, its length in the last byte
    std::array<int32_t, kIds> ids{};
    int32_t count = 0;
};
static_assert(sizeof(Entry) == 64);

constexpr size_t kEntries = size_t{1} << 15;  // 2 MiB a thread

std::array<uint64_t, 4> key_of(std::string_view word) {
    std::array<uint64_t, 4> key{};
    std::memcpy(key.data(), word.data(), word.size());
    key[3] |= uint64_t{word.size()} << 56;
    return key;
}

size_t slot_of(const std::array<uint64_t, 4>& key) {
    constexpr uint64_t kOdd = 0x9E3779B97F4A7C15u;
    uint64_t mixed = (key[0] ^ (key[3] >> 29) ^ key[3]) * kOdd;
    mixed = (mixed ^ (mixed >> 32) ^ key[1]) * kOdd;
    mixed = (mixed ^ (mixed >> 32) ^ key[2]) * kOdd;
    return static_cast<size_t>(mixed >> (64 - 15));
}
static_assert(kEntries == size_t{1} << 15);

/// id of each byte's token; Error{kData} when one is missing.
std::array<int32_t, 256> ids_of_bytes(const std::vector<std::string>& tokens, int32_t eot,
                                      const std::string& origin) {
    std::array<int32_t, 256> ids;
    ids.fill(-1);
    for (int32_t id = 0; id < std::ssize(tokens); ++id) {
        const std::string& token = tokens[static_cast<size_t>(id)];
        if (token.size() != 1 || id == eot) continue;
        int32_t& place = ids[static_cast<unsigned char>(token[0])];
        if (place >= 0)
            fail(kData, "{}: ids {} and {} are both byte 0x{:02x}", origin, place, id,
                 static_cast<unsigned char>(token[0]));
        place = id;
    }
    for (size_t byte = 0; byte < 256; ++byte)
        if (ids[byte] < 0)
            fail(kData,
                 "{}: byte 0x{:02x} has no token, expected all 256 in a byte-level vocabulary",
                 origin, byte);
    return ids;
}

}  // namespace

struct BpeTokenizer::Cache {
    std::vector<Entry> entries = std::vector<Entry>(kEntries);
    std::vector<Symbol> symbols;
    Merger merger;
};

/// One cache a thread that encodes at this moment; they outlive the calls.
struct BpeTokenizer::CachePool {
    std::mutex mutex;
    std::vector<std::unique_ptr<Cache>> idle;

    std::unique_ptr<Cache> take() {
        {
            const std::lock_guard lock(mutex);
            if (!idle.empty()) {
                std::unique_ptr<Cache> cache = std::move(idle.back());
                idle.pop_back();
                return cache;
            }
        }
        return std::make_unique<Cache>();
    }
    void give(std::unique_ptr<Cache> cache) {
        const std::lock_guard lock(mutex);
        idle.push_back(std::move(cache));
    }
};

BpeTokenizer::BpeTokenizer(BpeDefinition definition, const std::string& origin)
    : definition_(std::move(definition)),
      table_(definition_.merges.size()),
      pool_(std::make_unique<CachePool>()) {
    const std::vector<std::string>& tokens = definition_.tokens;
    std::unordered_map<std::string_view, int32_t> id_of;
    for (int32_t id = 0; id < std::ssize(tokens); ++id)
        if (id != definition_.eot) id_of.emplace(tokens[static_cast<size_t>(id)], id);

    constexpr Symbol kNoSymbol = Merge::kNone;
    std::vector<Symbol> symbol_of(tokens.size(), kNoSymbol);
    for (const int32_t id : ids_of_bytes(tokens, definition_.eot, origin)) {
        symbol_of[static_cast<size_t>(id)] = static_cast<Symbol>(id_of_symbol_.size());
        id_of_symbol_.push_back(id);
    }
    for (size_t rank = 0; rank < definition_.merges.size(); ++rank) {
        const auto [left, right] = definition_.merges[rank];
        const auto l = static_cast<size_t>(left), r = static_cast<size_t>(right);
        if (symbol_of[l] == kNoSymbol || symbol_of[r] == kNoSymbol)
            fail(kData,
                 "{}: merge {} joins tokens {} and {}, of which one is neither a byte nor made by "
                 "an earlier merge",
                 origin, rank, left, right);
        const auto joined = id_of.find(tokens[l] + tokens[r]);
        if (joined == id_of.end())
            fail(kData,
                 "{}: merge {} joins tokens {} and {}, but the vocabulary has no token for the "
                 "result",
                 origin, rank, left, right);
        Symbol& symbol = symbol_of[static_cast<size_t>(joined->second)];
        if (symbol == kNoSymbol) {
            symbol = static_cast<Symbol>(id_of_symbol_.size());
            id_of_symbol_.push_back(joined->second);
        }
        if (!table_.add(symbol_of[l], symbol_of[r], {static_cast<uint32_t>(rank), symbol}))
            fail(kData, "{}: merge {} joins tokens {} and {} a second time", origin, rank, left,
                 right);
    }
}

BpeTokenizer::~BpeTokenizer() = default;

std::string_view BpeTokenizer::kind() const {
    return vocab_size() == kGpt2Vocab ? "gpt2" : "bpe";
}

std::string_view BpeTokenizer::bytes_of(int32_t id) const {
    if (id < 0 || id >= vocab_size())
        fail(kData, "token {} is outside vocabulary {}", id, vocab_size());
    return definition_.tokens[static_cast<size_t>(id)];
}

void BpeTokenizer::encode(std::string_view text, std::vector<int32_t>& out) const {
    std::unique_ptr<Cache> cache = pool_->take();
    WordSplitter words(text);
    for (std::string_view word = words.next(); !word.empty(); word = words.next()) {
        if (word.size() >= Entry::kKeyBytes) {
            encode_word(word, *cache, out);
            continue;
        }
        const std::array<uint64_t, 4> key = key_of(word);
        Entry& entry = cache->entries[slot_of(key)];
        if (entry.key == key) {
            out.insert(out.end(), entry.ids.begin(), entry.ids.begin() + entry.count);
            continue;
        }
        const size_t begin = out.size();
        encode_word(word, *cache, out);
        const size_t count = out.size() - begin;
        if (count > Entry::kIds) continue;
        entry.key = key;
        entry.count = static_cast<int32_t>(count);
        std::copy_n(out.begin() + static_cast<std::ptrdiff_t>(begin), count, entry.ids.begin());
    }
    pool_->give(std::move(cache));
}

void BpeTokenizer::encode_word(std::string_view word, Cache& cache,
                               std::vector<int32_t>& out) const {
    std::vector<Symbol>& symbols = cache.symbols;
    symbols.resize(word.size());
    for (size_t i = 0; i < word.size(); ++i) symbols[i] = static_cast<unsigned char>(word[i]);
    const size_t n = cache.merger.merge(table_, symbols);
    for (size_t i = 0; i < n; ++i) out.push_back(id_of_symbol_[symbols[i]]);
}

std::string BpeTokenizer::sha256() const {
    Sha256 hash;
    for (const std::string& token : definition_.tokens)
        hash.update(base64_encode(std::as_bytes(std::span(token))) + "\n");
    for (const auto& [left, right] : definition_.merges)
        hash.update(fmt::format("{} {}\n", left, right));
    hash.update(fmt::format("eot {}\n", definition_.eot));
    return hash.hex();
}

bool BpeTokenizer::ids_are_ranks() const {
    const int64_t plain = vocab_size() - (definition_.eot >= 0 ? 1 : 0);
    if (definition_.eot >= 0 && definition_.eot != plain) return false;
    if (plain != 256 + std::ssize(definition_.merges)) return false;
    for (size_t id = 0; id < 256; ++id)
        if (definition_.tokens[id].size() != 1) return false;
    for (size_t rank = 0; rank < definition_.merges.size(); ++rank)
        if (id_of_symbol_[256 + rank] != static_cast<int32_t>(256 + rank)) return false;
    return true;
}

std::vector<std::pair<int32_t, int32_t>> merges_of_ranks(const std::vector<std::string>& tokens,
                                                         const std::string& origin) {
    MergeTable table(tokens.size());
    Merger merger;
    std::array<Symbol, 256> symbol_of_byte;
    for (Symbol rank = 0; rank < 256; ++rank)
        symbol_of_byte[static_cast<unsigned char>(tokens[rank][0])] = rank;
    std::vector<std::pair<int32_t, int32_t>> merges;
    std::vector<Symbol> symbols;
    for (size_t rank = 256; rank < tokens.size(); ++rank) {
        symbols.clear();
        for (const char c : tokens[rank])
            symbols.push_back(symbol_of_byte[static_cast<unsigned char>(c)]);
        const size_t n = merger.merge(table, symbols);
        if (n != 2)
            fail(kData,
                 "{}: the token of rank {} ({} bytes) splits into {} earlier tokens, expected 2",
                 origin, rank, tokens[rank].size(), n);
        table.add(symbols[0], symbols[1],
                  {static_cast<uint32_t>(rank - 256), static_cast<Symbol>(rank)});
        merges.emplace_back(static_cast<int32_t>(symbols[0]), static_cast<int32_t>(symbols[1]));
    }
    return merges;
}

}  // namespace knlp::data
