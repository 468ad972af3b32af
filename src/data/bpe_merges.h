#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace knlp::data {

/// A token inside the merge engine: 0..255 are the bytes by value, then the merged ones as they
/// were added.
using Symbol = uint32_t;

/// What joining two neighbours gives, and how early: merges of lower rank go first.
struct Merge {
    static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
    uint32_t rank = kNone;  // kNone: the two do not join
    Symbol symbol = 0;
};

/// Pairs that join, in an open-addressed table that is at most half full.
class MergeTable {
public:
    explicit MergeTable(size_t expected_pairs = 0);
    /// Adds a pair; false, and nothing is changed, when it is there already.
    bool add(Symbol left, Symbol right, Merge merge);
    Merge find(Symbol left, Symbol right) const {
        const uint64_t key = key_of(left, right);
        for (size_t i = slot_of(key);; i = (i + 1) & mask_) {
            if (slots_[i].key == key) return slots_[i].merge;
            if (slots_[i].key == kEmpty) return {};
        }
    }

private:
    static constexpr uint64_t kEmpty = std::numeric_limits<uint64_t>::max();
    struct Slot {
        uint64_t key = kEmpty;
        Merge merge;
    };
    static uint64_t key_of(Symbol left, Symbol right) { return uint64_t{left} << 32 | right; }
    size_t slot_of(uint64_t key) const {
        // Fibonacci hashing: the high bits of the product depend on all bits of the key.
        return static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> shift_);
    }
    void rehash(size_t slots);

    std::vector<Slot> slots_;
    size_t mask_ = 0, used_ = 0;
    int shift_ = 0;
};

/// Joins neighbours until none joins: always the pair of lowest rank, its occurrences from left to
/// right. Keeps its scratch memory between words; not for two threads at once.
class Merger {
public:
    /// Replaces `symbols` [n] by what they merge to and returns how many are left. O(n log n).
    size_t merge(const MergeTable& table, std::span<Symbol> symbols);

private:
    size_t merge_short(const MergeTable& table, std::span<Symbol> symbols);
    size_t merge_long(const MergeTable& table, std::span<Symbol> symbols);

    struct Candidate {
        uint32_t rank, position;
        // Inverted for std::push_heap: the top is the lowest rank, then the leftmost.
        bool operator<(const Candidate& other) const {
            return rank != other.rank ? rank > other.rank : position > other.position;
        }
    };
    std::vector<Merge> pairs_;
    std::vector<Candidate> heap_;
    std::vector<uint32_t> previous_, next_;
};

}  // namespace knlp::data
