#include "inference.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/profile.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

namespace knlp::model {

namespace {

using kernels::Storage;

// Outputs of one worker come in runs of this many: a cache line of results, and what the kernels
// take at once.
constexpr int64_t kOutputGrain = 16;
// Queries of a segment that are done sooner one by one than as a chunk: a chunk copies keys and
// values, and takes a vector of queries at least.
constexpr int64_t kFewQueries = 7;

InferenceKernels inference_kernels() {
    switch (isa()) {
        case Isa::kAvx512:
            return {has_avx512_bf16() ? kernels::gemv_avx512_bf16 : kernels::gemv_avx512,
                    has_avx512_bf16() ? kernels::gemm_avx512_bf16 : kernels::gemm_avx512,
                    kernels::decode_attention_avx512,
                    kernels::chunk_attention_avx512,
                    kernels::causal_attention_forward_avx512,
                    kernels::layer_norm_forward_avx512,
                    kernels::gelu_avx512,
                    kernels::convert_avx512,
                    kernels::cross_entropy_avx512};
        case Isa::kAvx2:
            return {kernels::gemv_avx2,
                    kernels::gemm_avx2,
                    kernels::decode_attention_avx2,
                    kernels::chunk_attention_avx2,
                    kernels::causal_attention_forward_avx2,
                    kernels::layer_norm_forward_avx2,
                    kernels::gelu_avx2,
                    kernels::convert_avx2,
                    kernels::cross_entropy_avx2};
        case Isa::kScalar:
            break;
    }
    return {kernels::gemv_scalar,
            kernels::gemm_scalar,
            kernels::decode_attention_scalar,
            kernels::chunk_attention_scalar,
            kernels::causal_attention_forward_scalar,
            kernels::layer_norm_forward_scalar,
            kernels::gelu_scalar,
            kernels::convert_scalar,
            kernels::cross_entropy_scalar};
}

/// out = row of the token + row of the position.
void embed_token(const ModelView& model, int64_t id, int64_t position, float* out) {
    const int64_t c = model.d_model;
    const float* at = model.wpe + position * c;
    if (model.weight_type == Storage::kF32) {
        const float* token = static_cast<const float*>(model.wte) + id * c;
        for (int64_t i = 0; i < c; ++i) out[i] = token[i] + at[i];
        return;
    }
    const uint16_t* token = static_cast<const uint16_t*>(model.wte) + id * c;
    for (int64_t i = 0; i < c; ++i) {
        const uint32_t bits = static_cast<uint32_t>(token[i]) << 16;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        out[i] = value + at[i];
    }
}

}  // namespace

void Scratch::Free::operator()(void* p) const {
    ::operator delete(p, std::align_val_t(64));
}

void* Scratch::at_least(int64_t bytes) {
    if (bytes > bytes_) {
        data_.reset();  // before the next is allocated
        data_.reset(::operator new(static_cast<size_t>(bytes), std::align_val_t(64)));
        bytes_ = bytes;
    }
    return data_.get();
}

// A small first cache has no room for weights beside the rows that they meet.
Inference::Inference(const ModelView& model)
    : model_(model),
      kernels_(inference_kernels()),
      fetch_(cache_bytes(1) >= int64_t{48} << 10 ? kernels::Fetch::kFirstCache
                                                 : kernels::Fetch::kSecondCache) {}

void Inference::prepare(std::span<const Segment> segments, const CacheView* cache) {
    const int64_t c = model_.d_model;
    segments_ = segments;
    first_token_.clear();
    rows_ = 0;
    int64_t longest = 1;
    for (const Segment& segment : segments) {
        KNLP_CHECK(!segment.ids.empty());
        first_token_.push_back(rows_);
        rows_ += std::ssize(segment.ids);
        longest = std::max(longest, segment.position + std::ssize(segment.ids));
    }
    capacity_ = cache != nullptr ? cache->capacity : 0;
    x_.floats(rows_ * c);
    qkv_.floats(rows_ * 3 * c);
    y_.floats(rows_ * c);
    hidden_.floats(rows_ * hidden_stride());
    const int64_t d = c / model_.n_head;
    if (cache != nullptr) {
        reserve(rows_,
                std::max((longest + 64) * 4, kernels::chunk_attention_workspace_bytes(longest, d)));
        return;
    }
    lse_.floats(rows_ * model_.n_head);
    const int64_t whole = kernels::causal_attention_workspace_bytes(
        {.batch = 1, .n_head = model_.n_head, .t = longest, .d_head = d});
    reserve(rows_, std::max(whole, c * 2));
}

void Inference::reserve(int64_t rows, int64_t kernel_bytes) {
    const int64_t c = model_.d_model;
    normed_.floats(rows * c);
    statistics_.floats(2 * rows);
    own_normed_bytes_ = aligned(kFewRows * (c + 2) * 4);
    const int64_t products = rows <= kFewRows ? kernels::gemv_workspace_bytes(rows, 4 * c)
                                              : kernels::gemm_workspace_bytes();
    own_bytes_ = own_normed_bytes_ + aligned(std::max(kernel_bytes, products));
    own_.at_least(team_size() * own_bytes_);
}

float* Inference::own_normed(const Worker& worker) const {
    return reinterpret_cast<float*>(static_cast<char*>(own_.data()) + worker.index * own_bytes_);
}

void* Inference::own_workspace(const Worker& worker) const {
    return reinterpret_cast<char*>(own_normed(worker)) + own_normed_bytes_;
}

float Inference::softmax_scale() const {
    return 1.0f / std::sqrt(static_cast<float>(model_.d_model / model_.n_head));
}

const float* Inference::norm(const Worker& worker, const NormView& norm, const float* x,
                             int64_t rows) {
    const int64_t c = model_.d_model;
    // A few rows are normalized sooner than shared.
    const bool few = rows <= kFewRows;
    float* y = few ? own_normed(worker) : normed_.floats();
    float* mean = few ? y + kFewRows * c : statistics_.floats();
    const kernels::LayerNormArgs args{.x = x,
                                      .weight = norm.weight,
                                      .bias = norm.bias,
                                      .y = y,
                                      .mean = mean,
                                      .rstd = mean + rows,
                                      .width = c,
                                      .epsilon = model_.epsilon};
    const Worker::Range range = few ? Worker::Range{0, rows} : worker.share(rows);
    kernels_.layer_norm(args, range.first, range.last);
    if (!few) worker.meet();
    return y;
}

// A line more than their width: rows of whole pages would all fall into the same sets of a cache.
int64_t Inference::hidden_stride() const {
    return 4 * model_.d_model + 16;
}

void Inference::product(const Worker& worker, const MatrixView& matrix, Input input, Output output,
                        int64_t rows, Then then) {
    const auto [x, x_stride] = input;
    const auto [y, y_stride] = output;
    if (rows <= kFewRows) {
        const Worker::Range range = worker.share(matrix.n, kOutputGrain);
        kernels_.gemv({.x = x,
                       .w = matrix.weight,
                       .bias = matrix.bias,
                       .y = y,
                       .rows = rows,
                       .n = matrix.n,
                       .k = matrix.k,
                       .x_stride = x_stride,
                       .y_stride = y_stride,
                       .w_type = model_.weight_type,
                       .fetch = fetch_,
                       .add = then == Then::kAdd},
                      range.first, range.last, own_workspace(worker));
        for (int64_t row = 0; then == Then::kGelu && row < rows; ++row) {
            float* own = y + row * y_stride + range.first;
            kernels_.gelu({.x = own,
                           .out = own,
                           .n = range.last - range.first,
                           .tanh_form = model_.gelu_tanh});
        }
        return;
    }
    kernels::GemmArgs args{.a = x, .b = matrix.weight, .c = y, .lda = x_stride, .ldb = matrix.k};
    args.ldc = y_stride;
    args.n = matrix.n;
    args.m = rows;
    args.k = matrix.k;
    args.transpose_b = true;
    args.b_type = args.compute = model_.weight_type;
    args.bias = matrix.bias;
    args.residual = y;
    if (then == Then::kAdd) args.epilogue = kernels::GemmEpilogue::kResidual;
    if (then == Then::kGelu)
        args.epilogue =
            model_.gelu_tanh ? kernels::GemmEpilogue::kGeluTanh : kernels::GemmEpilogue::kGeluErf;
    kernels_.gemm(args, worker.index, worker.count, own_workspace(worker));
}

void Inference::attend_whole(const Worker& worker, const Own& own) {
    const int64_t c = model_.d_model;
    const float* qkv = qkv_.floats() + own.first_token * 3 * c;
    kernels_.causal_attention({.q = qkv,
                               .k = qkv + c,
                               .v = qkv + 2 * c,
                               .y = y_.floats() + own.first_token * c,
                               .lse = lse_.floats() + own.first_token * model_.n_head,
                               .batch = 1,
                               .n_head = model_.n_head,
                               .t = std::ssize(own.segment.ids),
                               .d_head = c / model_.n_head,
                               .qkv_stride = 3 * c,
                               .y_stride = c,
                               .softmax_scale = softmax_scale()},
                              own.first_head, own.last_head, own_workspace(worker));
}

kernels::CacheLayout Inference::cache_layout() const {
    // At least two groups: two threads that share the heads of one row read each its own memory.
    int64_t group = std::max<int64_t>(model_.n_head / 2, 1);
    while (model_.n_head % group != 0) --group;
    return {.capacity = capacity_,
            .n_head = model_.n_head,
            .d_head = model_.d_model / model_.n_head,
            .group = group,
            .type = model_.kv_type};
}

void Inference::attend_cached(const Worker& worker, const Own& own, const void* kv) {
    const Segment& segment = own.segment;
    const int64_t c = model_.d_model, n = std::ssize(segment.ids);
    const kernels::CacheLayout cache = cache_layout();
    const kernels::ChunkAttentionArgs chunk{
        .q = qkv_.floats() + own.first_token * 3 * c,
        .kv = static_cast<const char*>(kv) + segment.row * cache.row() * kv_bytes(),
        .y = y_.floats() + own.first_token * c,
        .cache = cache,
        .q_len = n,
        .kv_len = segment.position + n,
        .q_stride = 3 * c,
        .softmax_scale = softmax_scale()};
    if (n > kFewQueries)
        return kernels_.chunk_attention(chunk, own.first_head, own.last_head,
                                        own_workspace(worker));
    for (int64_t i = 0; i < n; ++i)
        kernels_.decode_attention({.q = chunk.q + i * chunk.q_stride,
                                   .kv = chunk.kv,
                                   .y = chunk.y + i * c,
                                   .cache = cache,
                                   .batch = 1,
                                   .kv_len = segment.position + i + 1,
                                   .q_stride = chunk.q_stride,
                                   .softmax_scale = chunk.softmax_scale},
                                  own.first_head, own.last_head,
                                  static_cast<float*>(own_workspace(worker)));
}

void Inference::store(const Own& own, void* kv) const {
    const kernels::CacheLayout cache = cache_layout();
    const int64_t c = model_.d_model, d = cache.d_head;
    const auto put = [&](const float* from, int64_t to) {
        void* const out =
            static_cast<char*>(kv) + (own.segment.row * cache.row() + to) * kv_bytes();
        if (model_.kv_type == Storage::kF32)
            std::memcpy(out, from, static_cast<size_t>(d) * sizeof(float));
        else
            kernels_.convert({.from = from, .to = out, .n = d, .to_bf16 = true});
    };
    for (int64_t i = 0; i < std::ssize(own.segment.ids); ++i) {
        const float* keys = qkv_.floats() + (own.first_token + i) * 3 * c + c;
        const int64_t position = own.segment.position + i, in_block = position % cache.block();
        for (int64_t head = own.first_head; head < own.last_head; ++head) {
            const int64_t to = cache.keys(head, position - in_block) + in_block * d;
            put(keys + head * d, to);
            put(keys + c + head * d, to + cache.values(position - in_block));
        }
    }
}

void Inference::round_keys_and_values(const Worker& worker, const Own& own) {
    if (model_.kv_type == Storage::kF32) return;
    const int64_t c = model_.d_model, d = c / model_.n_head;
    const int64_t n = (own.last_head - own.first_head) * d;
    void* const rounded = own_workspace(worker);
    for (int64_t i = 0; i < std::ssize(own.segment.ids); ++i)
        for (int64_t part : {1, 2}) {
            float* values =
                qkv_.floats() + ((own.first_token + i) * 3 + part) * c + own.first_head * d;
            kernels_.convert({.from = values, .to = rounded, .n = n, .to_bf16 = true});
            kernels_.convert({.from = rounded, .to = values, .n = n, .to_bf16 = false});
        }
}

void Inference::attend(const Worker& worker, void* kv) {
    const int64_t n = std::ssize(segments_), n_head = model_.n_head;
    const Worker::Range range = worker.share(n * n_head);
    // Decoding goes through whole rows of the cache. Otherwise a worker has the same heads of all
    // segments: these differ in length, heads do not.
    const bool by_row = rows_ == n;
    for (int64_t i = 0; i < n; ++i) {
        const auto first_head = [&](int64_t pair) {
            return by_row ? std::clamp<int64_t>(pair - i * n_head, 0, n_head)
                          : std::clamp<int64_t>((pair - i + n - 1) / n, 0, n_head);
        };
        const Own own{segments_[static_cast<size_t>(i)], first_token_[static_cast<size_t>(i)],
                      first_head(range.first), first_head(range.last)};
        if (own.first_head == own.last_head) continue;
        // Nobody else needs these heads of this row: no meeting between storing and reading.
        if (kv != nullptr) store(own, kv);
        if (kv == nullptr) {
            round_keys_and_values(worker, own);
            attend_whole(worker, own);
        } else {
            attend_cached(worker, own, kv);
        }
    }
}

void Inference::block(const Worker& worker, const BlockView& block, void* kv) {
    const int64_t c = model_.d_model;
    const Output x{x_.floats(), c}, qkv{qkv_.floats(), 3 * c};
    const Output hidden{hidden_.floats(), hidden_stride()};
    product(worker, block.qkv, {norm(worker, block.ln_1, x.y, rows_), c}, qkv, rows_, Then::kStore);
    worker.meet();
    {
        const profile::Scope scope(profile::Group::kAttention);
        attend(worker, kv);
        worker.meet();
    }
    product(worker, block.out, {y_.floats(), c}, x, rows_, Then::kAdd);
    worker.meet();
    product(worker, block.fc, {norm(worker, block.ln_2, x.y, rows_), c}, hidden, rows_,
            Then::kGelu);
    worker.meet();
    product(worker, block.proj, {hidden.y, hidden.stride}, x, rows_, Then::kAdd);
    worker.meet();
}

void Inference::run(std::span<const Segment> segments, const CacheView* cache) {
    prepare(segments, cache);
    run_team([&](Worker worker) {
        worker.barrier = &barrier_;
        embed(worker);
        worker.meet();
        for (size_t layer = 0; layer < model_.blocks.size(); ++layer)
            block(worker, model_.blocks[layer], cache != nullptr ? cache->kv[layer] : nullptr);
    });
}

void Inference::embed(const Worker& worker) {
    const int64_t n_segments = std::ssize(segments_);
    const Worker::Range range = worker.share(rows_);
    for (int64_t i = 0; i < n_segments; ++i) {
        const Segment& segment = segments_[static_cast<size_t>(i)];
        const int64_t before = first_token_[static_cast<size_t>(i)];
        const int64_t from = std::max<int64_t>(0, range.first - before);
        const int64_t to = std::min(std::ssize(segment.ids), range.last - before);
        for (int64_t t = from; t < to; ++t)
            embed_token(model_, segment.ids[static_cast<size_t>(t)], segment.position + t,
                        x_.floats() + (before + t) * model_.d_model);
    }
}

const float* Inference::choose(std::span<const int64_t> tokens) {
    const int64_t c = model_.d_model, n = std::ssize(tokens);
    float* chosen = chosen_.floats(n * c);
    for (int64_t i = 0; i < n; ++i)
        std::memcpy(chosen + i * c, x_.floats() + tokens[static_cast<size_t>(i)] * c,
                    static_cast<size_t>(c) * sizeof(float));
    reserve(n, 0);
    return chosen;
}

void Inference::logits(std::span<const int64_t> tokens, float* out) {
    const int64_t n = std::ssize(tokens);
    const float* chosen = choose(tokens);
    run_team([&](Worker worker) {
        worker.barrier = &barrier_;
        product(worker, model_.head, {norm(worker, model_.ln_f, chosen, n), model_.d_model},
                {out, model_.vocab_size}, n, Then::kStore);
    });
}

void Inference::nll(std::span<const int64_t> tokens, std::span<const int64_t> targets, float* out) {
    const int64_t vocab_size = model_.vocab_size;
    float* logits = logits_.floats(std::min(kScoredRows, std::ssize(tokens)) * vocab_size);
    for (int64_t first = 0; first < std::ssize(tokens); first += kScoredRows) {
        const int64_t n = std::min(kScoredRows, std::ssize(tokens) - first);
        const auto part = tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(n));
        const float* chosen = choose(part);
        run_team([&](Worker worker) {
            worker.barrier = &barrier_;
            product(worker, model_.head, {norm(worker, model_.ln_f, chosen, n), model_.d_model},
                    {logits, vocab_size}, n, Then::kStore);
            worker.meet();
            const Worker::Range range = worker.share(n);
            kernels_.cross_entropy({.logits = logits,
                                    .targets = targets.data() + first,
                                    .nll = out + first,
                                    .columns = vocab_size,
                                    .vocab_size = vocab_size,
                                    .with_gradient = false},
                                   range.first, range.last);
        });
    }
}

}  // namespace knlp::model
