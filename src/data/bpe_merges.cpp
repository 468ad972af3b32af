#include "src/data/bpe_merges.h"

#include "knlp/core/error.h"

#include <algorithm>
#include <bit>

namespace knlp::data {

namespace {

/// Up to here a scan for the lowest rank beats a heap.
constexpr size_t kShortWord = 48;
constexpr uint32_t kNowhere = std::numeric_limits<uint32_t>::max();

}  // namespace

MergeTable::MergeTable(size_t expected_pairs) {
    rehash(std::bit_ceil(2 * expected_pairs + 16));
}

void MergeTable::rehash(size_t slots) {
    std::vector<Slot> old(slots);
    old.swap(slots_);
    mask_ = slots - 1;
    shift_ = 64 - std::countr_zero(slots);
    for (const Slot& slot : old) {
        if (slot.key == kEmpty) continue;
        size_t i = slot_of(slot.key);
        while (slots_[i].key != kEmpty) i = (i + 1) & mask_;
        slots_[i] = slot;
    }
}

bool MergeTable::add(Symbol left, Symbol right, Merge merge) {
    if (2 * (used_ + 1) > slots_.size()) rehash(2 * slots_.size());
    const uint64_t key = key_of(left, right);
    size_t i = slot_of(key);
    for (; slots_[i].key != kEmpty; i = (i + 1) & mask_)
        if (slots_[i].key == key) return false;
    slots_[i] = {key, merge};
    ++used_;
    return true;
}

size_t Merger::merge(const MergeTable& table, std::span<Symbol> symbols) {
    if (symbols.size() < 2) return symbols.size();
    if (symbols.size() >= kNowhere)
        fail(kData, "a word of {} bytes without a break; words of 4 GiB and more are not tokenized",
             symbols.size());
    return symbols.size() <= kShortWord ? merge_short(table, symbols) : merge_long(table, symbols);
}

size_t Merger::merge_short(const MergeTable& table, std::span<Symbol> symbols) {
    size_t n = symbols.size();
    pairs_.resize(n);
    for (size_t i = 0; i + 1 < n; ++i) pairs_[i] = table.find(symbols[i], symbols[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; ++i)
            if (pairs_[i].rank < pairs_[best].rank) best = i;
        if (pairs_[best].rank == Merge::kNone) break;
        symbols[best] = pairs_[best].symbol;
        for (size_t i = best + 1; i + 1 < n; ++i) {
            symbols[i] = symbols[i + 1];
            pairs_[i] = pairs_[i + 1];
        }
        --n;
        if (best > 0) pairs_[best - 1] = table.find(symbols[best - 1], symbols[best]);
        if (best + 1 < n) pairs_[best] = table.find(symbols[best], symbols[best + 1]);
    }
    return n;
}

size_t Merger::merge_long(const MergeTable& table, std::span<Symbol> symbols) {
    const auto n = static_cast<uint32_t>(symbols.size());
    previous_.resize(n);
    next_.resize(n);
    pairs_.assign(n, {});  // of each live symbol and its next; also tells stale candidates
    heap_.clear();
    const auto look = [&](uint32_t i) {
        pairs_[i] = next_[i] == kNowhere ? Merge{} : table.find(symbols[i], symbols[next_[i]]);
        if (pairs_[i].rank == Merge::kNone) return;
        heap_.push_back({pairs_[i].rank, i});
        std::push_heap(heap_.begin(), heap_.end());
    };
    for (uint32_t i = 0; i < n; ++i) {
        previous_[i] = i == 0 ? kNowhere : i - 1;
        next_[i] = i + 1 < n ? i + 1 : kNowhere;
    }
    for (uint32_t i = 0; i < n; ++i) look(i);

    while (!heap_.empty()) {
        const Candidate top = heap_.front();
        std::pop_heap(heap_.begin(), heap_.end());
        heap_.pop_back();
        const uint32_t i = top.position;
        if (pairs_[i].rank != top.rank) continue;  // one of the two has merged since
        const uint32_t gone = next_[i];
        symbols[i] = pairs_[i].symbol;
        pairs_[gone] = {};
        next_[i] = next_[gone];
        if (next_[i] != kNowhere) previous_[next_[i]] = i;
        look(i);
        if (previous_[i] != kNowhere) look(previous_[i]);
    }
    size_t kept = 0;
    for (uint32_t i = 0; i != kNowhere; i = next_[i]) symbols[kept++] = symbols[i];
    return kept;
}

}  // namespace knlp::data
