// Byte-pair training (Sennrich et al. 2016, arXiv 1508.07909) over the distinct words of the text:
// the pair of neighbours with the highest count is merged again and again. A pair's count is the
// number of places where the two stand side by side, overlapping ones ("aaa" has two) included.
// Counts are kept up to date word by word, the best pair is found by a heap whose stale entries are
// corrected when they come up.
#include "knlp/core/error.h"
#include "knlp/core/parallel.h"
#include "src/data/bpe_tokenizer.h"
#include "src/data/pretoken.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

namespace knlp::data {

namespace {

using WordCounts = std::unordered_map<std::string_view, int64_t>;

constexpr int64_t kFirstMerge = 256;
constexpr size_t kPieceBytes = size_t{1} << 20;

/// Distinct words and their counts, sorted by word.
std::vector<std::pair<std::string_view, int64_t>> count_words(
    std::span<const std::string_view> documents, int64_t threads) {
    std::vector<std::string_view> pieces;
    for (const std::string_view text : documents)
        for (const std::string_view piece : cut_at_words(text, kPieceBytes))
            pieces.push_back(piece);
    std::vector<WordCounts> parts(static_cast<size_t>(std::max<int64_t>(threads, 1)));
    parallel_for(threads, std::ssize(parts), [&](int64_t part) {
        for (size_t p = static_cast<size_t>(part); p < pieces.size(); p += parts.size()) {
            WordSplitter words(pieces[p]);
            for (std::string_view word = words.next(); !word.empty(); word = words.next())
                ++parts[static_cast<size_t>(part)][word];
        }
    });
    for (size_t p = 1; p < parts.size(); ++p)
        for (const auto& [word, count] : parts[p]) parts[0][word] += count;
    std::vector<std::pair<std::string_view, int64_t>> sorted(parts[0].begin(), parts[0].end());
    std::sort(sorted.begin(), sorted.end());
    return sorted;
}

class Trainer {
public:
    explicit Trainer(const std::vector<std::pair<std::string_view, int64_t>>& counted)
        : heap_(LessUrgent{this}) {
        for (int byte = 0; byte < kFirstMerge; ++byte)
            tokens_.emplace_back(1, static_cast<char>(byte));
        for (const auto& [word, count] : counted) {
            words_.push_back({.begin = symbols_.size(), .size = word.size(), .count = count});
            for (const char c : word) symbols_.push_back(static_cast<unsigned char>(c));
        }
        for (uint32_t w = 0; w < words_.size(); ++w) count_pairs(w, words_[w].count, 0);
        for (const auto& [key, pair] : pairs_) heap_.push({pair.count, key});
    }

    /// Merges the best pair; false when no word has two tokens left.
    bool step() {
        while (!heap_.empty()) {
            const Candidate top = heap_.top();
            heap_.pop();
            const auto found = pairs_.find(top.key);
            if (found == pairs_.end()) continue;
            if (found->second.count != top.count) {
                if (found->second.count > 0) heap_.push({found->second.count, top.key});
                continue;
            }
            merge(top.key, std::move(found->second.words));
            return true;
        }
        return false;
    }

    std::vector<std::string> take_tokens() { return std::move(tokens_); }
    std::vector<std::pair<int32_t, int32_t>> take_merges() { return std::move(merges_); }
    int64_t n_merges() const { return std::ssize(merges_); }

private:
    struct Word {
        size_t begin = 0, size = 0;  // in symbols_
        int64_t count = 0;
    };
    struct Pair {
        int64_t count = 0;
        std::vector<uint32_t> words;  // where it is or was
    };
    struct Candidate {
        int64_t count;
        uint64_t key;
    };
    struct LessUrgent {
        const Trainer* trainer;
        bool operator()(const Candidate& a, const Candidate& b) const {
            if (a.count != b.count) return a.count < b.count;
            const int order = trainer->token(a.key >> 32).compare(trainer->token(b.key >> 32));
            if (order != 0) return order > 0;
            return trainer->token(a.key & UINT32_MAX) > trainer->token(b.key & UINT32_MAX);
        }
    };

    const std::string& token(uint64_t symbol) const { return tokens_[symbol]; }

    /// Adds `change` to each pair of the word. The word is noted with pairs that hold `newest`; 0
    /// notes all.
    void count_pairs(uint32_t w, int64_t change, Symbol newest) {
        const Word& word = words_[w];
        for (size_t i = word.begin; i + 1 < word.begin + word.size; ++i) {
            const Symbol left = symbols_[i], right = symbols_[i + 1];
            Pair& pair = pairs_[uint64_t{left} << 32 | right];
            pair.count += change;
            const bool noted = newest == 0 || left == newest || right == newest;
            if (noted && (pair.words.empty() || pair.words.back() != w)) pair.words.push_back(w);
        }
    }

    void merge(uint64_t key, std::vector<uint32_t> words) {
        const auto left = static_cast<Symbol>(key >> 32),
                   right = static_cast<Symbol>(key & UINT32_MAX);
        const auto joined = static_cast<Symbol>(tokens_.size());
        tokens_.push_back(tokens_[left] + tokens_[right]);
        merges_.emplace_back(left, right);
        std::vector<uint64_t> fresh;
        for (const uint32_t w : words) {
            Word& word = words_[w];
            Symbol* const begin = symbols_.data() + word.begin;
            if (!has_pair(begin, word.size, left, right)) continue;
            count_pairs(w, -word.count, joined);
            size_t kept = 0;
            for (size_t i = 0; i < word.size; ++i) {
                const bool here = i + 1 < word.size && begin[i] == left && begin[i + 1] == right;
                begin[kept++] = here ? joined : begin[i];
                if (here) ++i;
            }
            word.size = kept;
            count_pairs(w, word.count, joined);
            for (size_t i = 0; i + 1 < word.size; ++i)
                if (begin[i] == joined || begin[i + 1] == joined)
                    fresh.push_back(uint64_t{begin[i]} << 32 | begin[i + 1]);
        }
        pairs_.erase(key);
        std::sort(fresh.begin(), fresh.end());
        fresh.erase(std::unique(fresh.begin(), fresh.end()), fresh.end());
        for (const uint64_t pair : fresh) heap_.push({pairs_.at(pair).count, pair});
    }

    static bool has_pair(const Symbol* symbols, size_t size, Symbol left, Symbol right) {
        for (size_t i = 0; i + 1 < size; ++i)
            if (symbols[i] == left && symbols[i + 1] == right) return true;
        return false;
    }

    std::vector<std::string> tokens_;
    std::vector<std::pair<int32_t, int32_t>> merges_;
    std::vector<Symbol> symbols_;  // of all words, one after the other
    std::vector<Word> words_;
    std::unordered_map<uint64_t, Pair> pairs_;
    std::priority_queue<Candidate, std::vector<Candidate>, LessUrgent> heap_;
};

}  // namespace

std::unique_ptr<Tokenizer> train_bpe(std::span<const std::string_view> documents,
                                     int64_t vocab_size, int64_t threads) {
    constexpr int64_t kSmallest = kFirstMerge + 1, kLargest = int64_t{1} << 24;
    if (vocab_size < kSmallest || vocab_size > kLargest)
        fail(kUsage, "BPE vocabulary of {}, expected {}..{} (256 bytes, merges, end of text)",
             vocab_size, kSmallest, kLargest);
    Trainer trainer(count_words(documents, threads));
    while (trainer.n_merges() < vocab_size - kSmallest)
        if (!trainer.step())
            fail(kData,
                 "the text gives only {} merges, so a vocabulary of at most {}, {} was asked for; "
                 "use more text or a smaller vocabulary",
                 trainer.n_merges(), trainer.n_merges() + kSmallest, vocab_size);
    BpeDefinition definition{.tokens = trainer.take_tokens(),
                             .merges = trainer.take_merges(),
                             .eot = static_cast<int32_t>(vocab_size - 1)};
    definition.tokens.emplace_back(kEndOfText);
    return std::make_unique<BpeTokenizer>(std::move(definition), "trained BPE");
}

}  // namespace knlp::data
