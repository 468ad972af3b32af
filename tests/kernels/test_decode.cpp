// Kernels of decoding: the scalar ones against sums in double, the vector ones against scalar, and
// the law that a row's bits do not depend on what shares its batch, nor a query's on its chunk.

#include "kernels/chunk_attention.h"
#include "kernels/decode.h"
#include "knlp/core/host.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

namespace knlp::kernels {
namespace {

struct Backend {
    const char* name;
    Isa needs;
    GemvFn gemv;
    DecodeAttentionFn attention;
    ChunkAttentionFn chunk;
};
constexpr Backend kScalar = {"scalar", Isa::kScalar, gemv_scalar, decode_attention_scalar,
                             chunk_attention_scalar};
constexpr Backend kVector[] = {
    {"avx2", Isa::kAvx2, gemv_avx2, decode_attention_avx2, chunk_attention_avx2},
    {"avx512", Isa::kAvx512, gemv_avx512, decode_attention_avx512, chunk_attention_avx512}};
constexpr Backend kPairs = {"avx512_bf16", Isa::kAvx512, gemv_avx512_bf16, decode_attention_avx512,
                            chunk_attention_avx512};

std::vector<Backend> runnable(bool with_scalar) {
    std::vector<Backend> found;
    if (with_scalar) found.push_back(kScalar);
    for (const Backend& backend : kVector)
        if (static_cast<int>(isa()) >= static_cast<int>(backend.needs)) found.push_back(backend);
    if (isa() == Isa::kAvx512 && has_avx512_bf16()) found.push_back(kPairs);
    return found;
}

constexpr float kCanary = -7.0f;

/// Numbers of [-1, 1], stored as `type`; `offset` values before the first, so that nothing is
/// aligned.
struct Values {
    Storage type;
    size_t offset;
    std::vector<float> f32;
    std::vector<uint16_t> bf16;

    Values(Storage storage, int64_t n, float seed, size_t shift) : type(storage), offset(shift) {
        for (size_t i = 0; i < static_cast<size_t>(n) + offset; ++i) {
            const float value = std::sin(seed * static_cast<float>(i % 9973) + 0.3f);
            uint32_t bits;
            std::memcpy(&bits, &value, sizeof bits);
            f32.push_back(value);
            bf16.push_back(static_cast<uint16_t>(bits >> 16));
        }
    }
    const void* data() const {
        if (type == Storage::kF32) return f32.data() + offset;
        return bf16.data() + offset;
    }
    double get(int64_t i) const {
        const size_t at = static_cast<size_t>(i) + offset;
        if (type == Storage::kF32) return f32[at];
        const uint32_t bits = static_cast<uint32_t>(bf16[at]) << 16;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
};

struct GemvCase {
    int64_t rows, n, k;
    Storage type = Storage::kF32;
    bool bias = true, add = false;
    Fetch fetch = Fetch::kFirstCache;
};

std::vector<float> run(GemvFn fn, const GemvCase& c, int64_t first, int64_t last) {
    const int64_t x_stride = c.k + 3, y_stride = c.n + 2;
    const Values x(Storage::kF32, c.rows * x_stride, 0.731f, 1), w(c.type, c.n * c.k, 0.377f, 3);
    const Values bias(Storage::kF32, c.n, 0.219f, 1);
    std::vector<float> y(static_cast<size_t>(c.rows * y_stride), kCanary);
    const auto bytes = static_cast<size_t>(gemv_workspace_bytes(c.rows, c.k));
    auto* workspace =
        static_cast<unsigned char*>(::operator new (bytes + 64, std::align_val_t{64}));
    std::memset(workspace, 0xFF, bytes + 64);  // NaN
    fn({.x = static_cast<const float*>(x.data()),
        .w = w.data(),
        .bias = c.bias ? static_cast<const float*>(bias.data()) : nullptr,
        .y = y.data(),
        .rows = c.rows,
        .n = c.n,
        .k = c.k,
        .x_stride = x_stride,
        .y_stride = y_stride,
        .w_type = c.type,
        .fetch = c.fetch,
        .add = c.add},
       first, last, workspace);
    EXPECT_TRUE(std::all_of(workspace + bytes, workspace + bytes + 64, [](unsigned char byte) {
        return byte == 0xFF;
    })) << "written past the workspace";
    ::operator delete (workspace, std::align_val_t{64});
    return y;
}

/// The nearest number of eight significant bits, ties to even.
double rounded_to_bf16(double x) {
    int exponent = 0;
    const double mantissa = std::frexp(x, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8);
}

std::vector<GemvCase> gemv_cases() {
    std::vector<GemvCase> cases;
    for (const Storage type : {Storage::kF32, Storage::kBf16})
        for (const int64_t rows : {1, 2, 3, 5, 8, 13, 16, 35})
            for (const int64_t k : {0, 1, 7, 8, 15, 16, 17, 31, 33, 64, 100, 257})
                for (const int64_t n : {1, 3, 4, 9, 17})
                    cases.push_back({rows, n, k, type, n % 2 == 1, k % 2 == 1});
    // Longer than the pieces in which the vector kernels take a row, and than several of them.
    for (const Storage type : {Storage::kF32, Storage::kBf16})
        for (const int64_t rows : {1, 5, 11})
            for (const int64_t k : {767, 768, 769, 1540, 6143, 6145, 7000})
                cases.push_back({rows, 5, k, type});
    return cases;
}

class GemvScalar : public testing::TestWithParam<Storage> {};

TEST_P(GemvScalar, IsTheProductOfXRoundedAsTheWeightsAre) {
    const GemvCase c = {.rows = 3, .n = 5, .k = 11, .type = GetParam(), .add = true};
    const std::vector<float> y = run(gemv_scalar, c, 0, 5);
    const Values x(Storage::kF32, 3 * 14, 0.731f, 1), w(c.type, 55, 0.377f, 3);
    const Values bias(Storage::kF32, 5, 0.219f, 1);
    for (int64_t r = 0; r < 3; ++r)
        for (int64_t j = 0; j < 5; ++j) {
            double sum = bias.get(j) + static_cast<double>(kCanary);
            for (int64_t i = 0; i < 11; ++i) {
                const double value = x.get(r * 14 + i);
                sum +=
                    (c.type == Storage::kF32 ? value : rounded_to_bf16(value)) * w.get(j * 11 + i);
            }
            EXPECT_NEAR(y[static_cast<size_t>(r * 7 + j)], sum, 1e-6);
        }
}
INSTANTIATE_TEST_SUITE_P(Types, GemvScalar, testing::Values(Storage::kF32, Storage::kBf16));

TEST(Gemv, EveryBackendAgreesWithScalar) {
    for (const GemvCase& c : gemv_cases()) {
        const std::vector<float> wanted = run(gemv_scalar, c, 0, c.n);
        for (const Backend& backend : runnable(false)) {
            const std::vector<float> got = run(backend.gemv, c, 0, c.n);
            // At most k additions of values below 1, each rounded to 2^-24 of a partial sum.
            const double tolerance = 1e-6 + 6e-8 * static_cast<double>(c.k);
            for (size_t i = 0; i < got.size(); ++i)
                ASSERT_NEAR(got[i], wanted[i], tolerance)
                    << backend.name << " rows " << c.rows << " n " << c.n << " k " << c.k << " at "
                    << i;
        }
    }
}

TEST(Gemv, BitsOfARowDependNeitherOnRowsNorOnTheRange) {
    for (const Storage type : {Storage::kF32, Storage::kBf16})
        for (const int64_t k : {33, 768, 2000, 6200})
            for (const Backend& backend : runnable(true)) {
                const std::vector<float> whole = run(backend.gemv, {17, 21, k, type}, 0, 21);
                for (const int64_t rows : {1, 2, 3, 4, 6, 7, 8, 9, 15, 16}) {
                    const GemvCase c = {rows, 21, k, type};
                    const std::vector<float> fewer = run(backend.gemv, c, 0, 21);
                    ASSERT_EQ(std::memcmp(fewer.data(), whole.data(), fewer.size() * sizeof(float)),
                              0)
                        << backend.name << " k " << k << " rows " << rows;
                    const std::vector<float> part = run(backend.gemv, c, 5, 18);
                    for (int64_t r = 0; r < rows; ++r)
                        for (int64_t j = 0; j < 23; ++j) {
                            const size_t at = static_cast<size_t>(r * 23 + j);
                            ASSERT_EQ(part[at], j >= 5 && j < 18 ? whole[at] : kCanary)
                                << backend.name << " k " << k << " output " << j;
                        }
                }
            }
}

TEST(Gemv, BitsDoNotDependOnWhereWeightsAreFetched) {
    for (const GemvCase& c : gemv_cases())
        for (const Backend& backend : runnable(false)) {
            GemvCase other = c;
            other.fetch = Fetch::kSecondCache;
            const std::vector<float> near = run(backend.gemv, c, 0, c.n);
            const std::vector<float> far = run(backend.gemv, other, 0, c.n);
            ASSERT_EQ(std::memcmp(near.data(), far.data(), near.size() * sizeof(float)), 0)
                << backend.name << " rows " << c.rows << " n " << c.n << " k " << c.k;
        }
}

struct AttentionCase {
    int64_t batch, n_head, d_head, kv_len;
    Storage type = Storage::kF32;
    int64_t group = 1, spare = 3;  // positions of the capacity that are not filled
    float spread = 1.0f;

    CacheLayout cache() const {
        return {.capacity = kv_len + spare,
                .n_head = n_head,
                .d_head = d_head,
                .group = group,
                .type = type};
    }
    /// Key (0) or value (1) d of a position; every other place of the cache is NaN.
    double get(const Values& values, int64_t b, int64_t h, int64_t s, int64_t key_or_value,
               int64_t d) const {
        return values.get((((b * n_head + h) * kv_len + s) * 2 + key_or_value) * d_head + d);
    }
};

/// The cache of a case, built by the words of CacheLayout.
struct Cache {
    std::vector<float> f32;
    std::vector<uint16_t> bf16;
    const Storage type;

    Cache(const AttentionCase& c, const Values& values) : type(c.type) {
        const auto place = [&](bool seen, double value) {
            const float single = seen ? static_cast<float>(value) : std::nanf("");
            uint32_t bits;
            std::memcpy(&bits, &single, sizeof bits);
            f32.push_back(single);
            bf16.push_back(static_cast<uint16_t>(bits >> 16));
        };
        place(false, 0);  // so that nothing is aligned
        const int64_t capacity = c.kv_len + c.spare, block = type == Storage::kF32 ? 32 : 64;
        for (int64_t b = 0; b < c.batch; ++b)
            for (int64_t h0 = 0; h0 < c.n_head; h0 += c.group)
                for (int64_t s0 = 0; s0 < capacity; s0 += block)
                    for (int64_t h = h0; h < h0 + c.group; ++h)
                        for (int64_t part : {0, 1})
                            for (int64_t s = s0; s < std::min(s0 + block, capacity); ++s)
                                for (int64_t d = 0; d < c.d_head; ++d)
                                    place(s < c.kv_len,
                                          s < c.kv_len ? c.get(values, b, h, s, part, d) : 0);
    }
    const void* data() const {
        if (type == Storage::kF32) return f32.data() + 1;
        return bf16.data() + 1;
    }
};

Values keys_and_values(const AttentionCase& c) {
    return Values(c.type, c.batch * c.n_head * c.kv_len * 2 * c.d_head, 0.271f, 1);
}

std::vector<float> run(DecodeAttentionFn fn, const AttentionCase& c, int64_t first, int64_t last) {
    const int64_t width = c.n_head * c.d_head, q_stride = 3 * width + 1;
    Values q(Storage::kF32, c.batch * q_stride, 0.613f, 1);
    for (float& value : q.f32) value *= c.spread;
    const Cache cache(c, keys_and_values(c));
    std::vector<float> y(static_cast<size_t>(c.batch * width + 8), kCanary);
    auto* workspace = static_cast<float*>(
        ::operator new (static_cast<size_t>(c.kv_len + 64) * sizeof(float), std::align_val_t{64}));
    std::memset(workspace, 0xFF, static_cast<size_t>(c.kv_len + 64) * sizeof(float));
    fn({.q = static_cast<const float*>(q.data()),
        .kv = cache.data(),
        .y = y.data(),
        .cache = c.cache(),
        .batch = c.batch,
        .kv_len = c.kv_len,
        .q_stride = q_stride,
        .softmax_scale = 1.0f / std::sqrt(static_cast<float>(c.d_head))},
       first, last, workspace);
    ::operator delete (workspace, std::align_val_t{64});
    return y;
}

TEST(DecodeAttention, ScalarIsTheFormula) {
    const AttentionCase c = {
        .batch = 2, .n_head = 4, .d_head = 3, .kv_len = 71, .type = Storage::kBf16, .group = 2};
    const std::vector<float> y = run(decode_attention_scalar, c, 0, 8);
    const Values q(Storage::kF32, 2 * 37, 0.613f, 1), kv = keys_and_values(c);
    for (int64_t b = 0; b < 2; ++b)
        for (int64_t h = 0; h < 4; ++h) {
            double sum = 0.0, value[3] = {0.0, 0.0, 0.0};
            for (int64_t s = 0; s < 71; ++s) {
                double dot = 0.0;
                for (int64_t d = 0; d < 3; ++d)
                    dot += q.get(b * 37 + h * 3 + d) * c.get(kv, b, h, s, 0, d);
                const double weight = std::exp(dot / std::sqrt(3.0));
                sum += weight;
                for (int64_t d = 0; d < 3; ++d) value[d] += weight * c.get(kv, b, h, s, 1, d);
            }
            for (int64_t d = 0; d < 3; ++d)
                EXPECT_NEAR(y[static_cast<size_t>(b * 12 + h * 3 + d)], value[d] / sum, 1e-6);
        }
}

TEST(DecodeAttention, EveryBackendAgreesWithScalar) {
    std::vector<AttentionCase> cases;
    for (const Storage type : {Storage::kF32, Storage::kBf16}) {
        for (const int64_t kv_len : {0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130, 300})
            for (const int64_t d_head : {1, 16, 20, 64, 96})
                cases.push_back({2, 3, d_head, kv_len, type, kv_len % 2 == 0 ? 3 : 1, kv_len % 5});
        for (const int64_t d_head : {32, 80, 128, 256}) cases.push_back({1, 2, d_head, 77, type});
        cases.push_back({1, 1, 64, 200, type, 1, 100, 60.0f});
        cases.push_back({1, 36, 32, 70, type, 18});
    }
    for (const AttentionCase& c : cases) {
        const std::vector<float> wanted = run(decode_attention_scalar, c, 0, c.batch * c.n_head);
        for (const Backend& backend : runnable(false)) {
            const std::vector<float> got = run(backend.attention, c, 0, c.batch * c.n_head);
            // Values are at most 1; a score s carries an error of about d_head * 6e-8 |s|, which
            // multiplies its weight.
            const double tolerance = 2e-6 + 6e-8 * c.spread * static_cast<double>(c.d_head);
            for (size_t i = 0; i < got.size(); ++i)
                ASSERT_NEAR(got[i], wanted[i], tolerance)
                    << backend.name << " D " << c.d_head << " S " << c.kv_len << " at " << i;
        }
    }
}

TEST(DecodeAttention, BitsOfAPairDependNeitherOnTheBatchNorOnTheRangeNorOnTheGroup) {
    for (const Storage type : {Storage::kF32, Storage::kBf16})
        for (const Backend& backend : runnable(true)) {
            const AttentionCase c = {
                .batch = 3, .n_head = 6, .d_head = 20, .kv_len = 150, .type = type, .group = 3};
            const std::vector<float> whole = run(backend.attention, c, 0, 18);
            for (const int64_t first : {0, 1, 4, 7}) {
                const std::vector<float> part = run(backend.attention, c, first, 14);
                for (int64_t i = 0; i < 18 * 20; ++i)
                    ASSERT_EQ(part[static_cast<size_t>(i)], i / 20 >= first && i / 20 < 14
                                                                ? whole[static_cast<size_t>(i)]
                                                                : kCanary)
                        << backend.name << " at " << i;
            }
            AttentionCase alone = c;
            alone.batch = 1;
            const std::vector<float> first_row = run(backend.attention, alone, 0, 6);
            EXPECT_EQ(std::memcmp(first_row.data(), whole.data(), 120 * sizeof(float)), 0)
                << backend.name;
            AttentionCase regrouped = c;
            regrouped.group = 2;
            EXPECT_EQ(run(backend.attention, regrouped, 0, 18), whole) << backend.name;
        }
}

/// A row of kv_len tokens whose queries are read in chunks: first head .. last - 1 of tokens from
/// .. to - 1 are written to y [kv_len, width], what follows them is in the cache already.
class Row {
public:
    explicit Row(const AttentionCase& c)
        : c_(c),
          width_(c.n_head * c.d_head),
          q_(Storage::kF32, c.kv_len * (3 * width_ + 1), 0.613f, 1),
          cache_(c, keys_and_values(c)) {
        for (float& value : q_.f32) value *= c.spread;
    }
    std::vector<float> nothing() const {
        return std::vector<float>(static_cast<size_t>(c_.kv_len * width_ + 8), kCanary);
    }
    void read(ChunkAttentionFn fn, int64_t from, int64_t to, int64_t first, int64_t last,
              std::vector<float>& y) const {
        const auto bytes = static_cast<size_t>(chunk_attention_workspace_bytes(to, c_.d_head));
        auto* workspace =
            static_cast<unsigned char*>(::operator new (bytes + 64, std::align_val_t{64}));
        std::memset(workspace, 0xFF, bytes + 64);  // NaN
        fn({.q = query(from),
            .kv = cache_.data(),
            .y = y.data() + from * width_,
            .cache = c_.cache(),
            .q_len = to - from,
            .kv_len = to,
            .q_stride = 3 * width_ + 1,
            .softmax_scale = scale()},
           first, last, workspace);
        EXPECT_TRUE(std::all_of(workspace + bytes, workspace + bytes + 64, [](unsigned char byte) {
            return byte == 0xFF;
        })) << "written past the workspace";
        ::operator delete (workspace, std::align_val_t{64});
    }
    /// All tokens from `from` on, one at a time by the definition of decoding.
    std::vector<float> one_by_one(int64_t from) const {
        std::vector<float> y = nothing(), workspace(static_cast<size_t>(c_.kv_len + 64));
        for (int64_t i = from; i < c_.kv_len; ++i)
            decode_attention_scalar({.q = query(i),
                                     .kv = cache_.data(),
                                     .y = y.data() + i * width_,
                                     .cache = c_.cache(),
                                     .batch = 1,
                                     .kv_len = i + 1,
                                     .q_stride = 3 * width_ + 1,
                                     .softmax_scale = scale()},
                                    0, c_.n_head, workspace.data());
        return y;
    }

private:
    const float* query(int64_t i) const {
        return static_cast<const float*>(q_.data()) + i * (3 * width_ + 1);
    }
    float scale() const { return 1.0f / std::sqrt(static_cast<float>(c_.d_head)); }

    const AttentionCase& c_;
    int64_t width_;
    Values q_;
    Cache cache_;
};

TEST(ChunkAttention, EveryQueryIsADecodedToken) {
    std::vector<AttentionCase> cases;
    for (const Storage type : {Storage::kF32, Storage::kBf16}) {
        for (const int64_t kv_len : {0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130, 200})
            for (const int64_t d_head : {1, 16, 20, 64, 96})
                cases.push_back({1, 3, d_head, kv_len, type, kv_len % 2 == 0 ? 3 : 1, kv_len % 5});
        cases.push_back({1, 2, 128, 77, type});
        cases.push_back({1, 1, 64, 200, type, 1, 100, 60.0f});
    }
    for (const AttentionCase& c : cases) {
        const Row row(c);
        for (const int64_t from : {int64_t{0}, c.kv_len / 3, c.kv_len - 2, c.kv_len - 1}) {
            if (from < 0) continue;
            const std::vector<float> wanted = row.one_by_one(from);
            for (const Backend& backend : runnable(true)) {
                std::vector<float> got = row.nothing();
                row.read(backend.chunk, from, c.kv_len, 0, c.n_head, got);
                // As of DecodeAttention above.
                const double tolerance = 2e-6 + 6e-8 * c.spread * static_cast<double>(c.d_head);
                for (size_t i = 0; i < got.size(); ++i)
                    ASSERT_NEAR(got[i], wanted[i], tolerance)
                        << backend.name << " D " << c.d_head << " S " << c.kv_len << " from "
                        << from << " at " << i;
            }
        }
    }
}

TEST(ChunkAttention, BitsOfAQueryDependNeitherOnItsChunkNorOnTheRangeOfHeads) {
    for (const Storage type : {Storage::kF32, Storage::kBf16})
        for (const Backend& backend : runnable(true)) {
            const AttentionCase c = {
                .batch = 1, .n_head = 6, .d_head = 20, .kv_len = 210, .type = type, .group = 3};
            const Row row(c);
            std::vector<float> whole = row.nothing();
            row.read(backend.chunk, 0, c.kv_len, 0, 6, whole);
            for (const int64_t chunk : {1, 5, 48, 64, 97, 128}) {
                std::vector<float> parts = row.nothing();
                for (int64_t from = 0; from < c.kv_len; from += chunk)
                    for (const auto& [first, last] : {std::pair<int64_t, int64_t>{0, 1}, {1, 6}})
                        row.read(backend.chunk, from, std::min(c.kv_len, from + chunk), first, last,
                                 parts);
                EXPECT_EQ(parts, whole) << backend.name << ", chunks of " << chunk;
            }
        }
}

}  // namespace
}  // namespace knlp::kernels
