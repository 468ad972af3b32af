// Texts from sources whose entropy rate, in nats per token (a byte), follows from their parameters:
//
//   markov     order-3 chain over "abcdefgh"
//   copy       32 random letters, '|', the same 32, '\n'
//   induction  8 keys in random order, each with a random letter, ';', the same in another order
//   arith      "37+05=042\n", both terms uniform in 0..99
//
// markov: the entropies of its contexts' rows, weighted by the stationary probability. The others
// repeat independent records of fixed length: the entropy of one record over its length.
#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/core/rng.h"
#include "src/data/corpus.h"

#include <array>
#include <cmath>
#include <numeric>

namespace knlp::data {

namespace {

constexpr int kLetters = 8;  // alphabet of the Markov chain
constexpr int kContexts = kLetters * kLetters * kLetters;
constexpr int kCopyLength = 32, kKeys = 8;
constexpr int kAlphabet = 26;

/// Text of n bytes and the entropy rate of its source.
struct Synthetic {
    std::string text;
    double entropy_nats = 0;
};

using Row = std::array<double, kLetters>;

/// Next-letter probabilities of every context. Cubes of uniform numbers make some letters likely;
/// the floor keeps all possible, so the chain forgets its start and has one stationary
/// distribution.
std::vector<Row> markov_rows(const Stream& stream) {
    std::vector<Row> rows(kContexts);
    for (size_t c = 0; c < rows.size(); ++c) {
        double sum = 0;
        for (size_t j = 0; j < kLetters; ++j) {
            const double u = stream.uniform(c * kLetters + j, 1);
            sum += rows[c][j] = u * u * u + 0.01;
        }
        for (double& p : rows[c]) p /= sum;
    }
    return rows;
}

double markov_entropy(const std::vector<Row>& rows) {
    std::vector<double> now(kContexts, 1.0 / kContexts), next(kContexts);
    for (double change = 1; change > 1e-14;) {
        std::fill(next.begin(), next.end(), 0.0);
        for (size_t c = 0; c < rows.size(); ++c)
            for (size_t j = 0; j < kLetters; ++j)
                next[c * kLetters % kContexts + j] += now[c] * rows[c][j];
        change = 0;
        for (size_t c = 0; c < rows.size(); ++c) change += std::abs(next[c] - now[c]);
        now.swap(next);
    }
    double entropy = 0;
    for (size_t c = 0; c < rows.size(); ++c)
        for (const double p : rows[c]) entropy -= now[c] * p * std::log(p);
    return entropy;
}

Synthetic make_markov(int64_t n_tokens, uint64_t seed) {
    const Stream stream(seed, "synthetic/markov");
    const std::vector<Row> rows = markov_rows(stream);
    Synthetic out{.entropy_nats = markov_entropy(rows)};
    size_t context = 0;
    for (int64_t i = 0; i < n_tokens; ++i) {
        double u = stream.uniform(static_cast<uint64_t>(i), 2);
        size_t letter = 0;
        while (letter + 1 < kLetters && u >= rows[context][letter]) u -= rows[context][letter++];
        out.text.push_back(static_cast<char>('a' + letter));
        context = context * kLetters % kContexts + letter;
    }
    return out;
}

double log_factorial(int n) {
    return std::lgamma(n + 1.0);
}

/// Repeats record(index), each of the given entropy, up to n bytes.
template <class Record>
Synthetic repeat(int64_t n_tokens, double record_entropy, Record record) {
    Synthetic out;
    size_t length = 0;
    for (uint64_t index = 0; std::ssize(out.text) < n_tokens; ++index) {
        const std::string one = record(index);
        length = one.size();
        out.text += one;
    }
    out.text.resize(static_cast<size_t>(n_tokens));
    out.entropy_nats = record_entropy / static_cast<double>(length);
    return out;
}

Synthetic make_copy(int64_t n_tokens, uint64_t seed) {
    const Stream stream(seed, "synthetic/copy");
    return repeat(n_tokens, kCopyLength * std::log(kAlphabet), [&](uint64_t index) {
        std::string text;
        for (uint64_t i = 0; i < kCopyLength; ++i)
            text.push_back(
                static_cast<char>('a' + static_cast<int>(stream.below(kAlphabet, index, i))));
        return text + "|" + text + "\n";
    });
}

/// A permutation of 0..kKeys-1 (Fisher-Yates) drawn from lanes first_lane, first_lane + 1, …
std::array<int, kKeys> permutation(const Stream& stream, uint64_t index, uint64_t first_lane) {
    std::array<int, kKeys> order;
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = kKeys - 1; i > 0; --i)
        std::swap(order[i], order[stream.below(i + 1, index, first_lane + i)]);
    return order;
}

Synthetic make_induction(int64_t n_tokens, uint64_t seed) {
    const Stream stream(seed, "synthetic/induction");
    const double entropy = kKeys * std::log(kAlphabet) + 2 * log_factorial(kKeys);
    return repeat(n_tokens, entropy, [&](uint64_t index) {
        std::string values, text;
        for (uint64_t key = 0; key < kKeys; ++key)
            values.push_back(
                static_cast<char>('a' + static_cast<int>(stream.below(kAlphabet, index, key))));
        const auto say = [&](const std::array<int, kKeys>& order, char end) {
            for (const int key : order) {
                text.push_back(static_cast<char>('A' + key));
                text.push_back(values[static_cast<size_t>(key)]);
            }
            text.push_back(end);
        };
        say(permutation(stream, index, 100), ';');
        say(permutation(stream, index, 200), '\n');
        return text;
    });
}

Synthetic make_arith(int64_t n_tokens, uint64_t seed) {
    const Stream stream(seed, "synthetic/arith");
    return repeat(n_tokens, 2 * std::log(100.0), [&](uint64_t index) {
        const uint64_t a = stream.below(100, index, 0), b = stream.below(100, index, 1);
        return fmt::format("{:02}+{:02}={:03}\n", a, b, a + b);
    });
}

}  // namespace

Corpus synthetic_corpus(const std::string& kind, int64_t n_tokens, uint64_t seed,
                        double val_fraction) {
    constexpr int64_t kFewest = 100, kMost = int64_t{1} << 33;
    if (n_tokens < kFewest || n_tokens > kMost)
        fail(kUsage, "{} synthetic tokens, expected {}..{}", n_tokens, kFewest, kMost);
    if (!(val_fraction > 0.0 && val_fraction < 1.0))
        fail(kUsage, "validation fraction {}, expected more than 0 and less than 1", val_fraction);
    Synthetic made;
    if (kind == "markov")
        made = make_markov(n_tokens, seed);
    else if (kind == "copy")
        made = make_copy(n_tokens, seed);
    else if (kind == "induction")
        made = make_induction(n_tokens, seed);
    else if (kind == "arith")
        made = make_arith(n_tokens, seed);
    else
        fail(kUsage, "synthetic kind '{}', expected markov, copy, induction or arith", kind);

    Corpus corpus{.name = "synthetic-" + kind,
                  .synthetic = true,
                  .entropy_nats = made.entropy_nats,
                  .bytes = n_tokens};
    corpus.sources = {{.path = fmt::format("synthetic {} seed {}", kind, seed),
                       .sha256 = sha256_hex(made.text),
                       .bytes = n_tokens}};
    corpus.visit = [text = std::move(made.text), val_fraction](const Corpus::Visitor& visitor) {
        const auto cut =
            static_cast<size_t>(static_cast<double>(text.size()) * (1.0 - val_fraction));
        visitor({.text = std::string_view(text).substr(0, cut)});
        visitor({.text = std::string_view(text).substr(cut), .validation = true});
    };
    return corpus;
}

DatasetMeta make_synthetic(const std::string& kind, int64_t n_tokens, uint64_t seed,
                           const PrepareOptions& options, const std::filesystem::path& out) {
    return make_dataset(synthetic_corpus(kind, n_tokens, seed, options.val_fraction), options, out);
}

}  // namespace knlp::data
