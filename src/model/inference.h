#pragma once

#include "team.h"

#include "kernels/causal_attention.h"
#include "kernels/chunk_attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/decode.h"
#include "kernels/elementwise.h"
#include "kernels/layer_norm.h"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace knlp::model {

/// Rows of logits held at once while scoring.
inline constexpr int64_t kScoredRows = 128;

/// A linear layer's weight [n, k] and bias [n] (or null), where they lie.
struct MatrixView {
    const void* weight = nullptr;
    const float* bias = nullptr;
    int64_t n = 0, k = 0;
};
struct NormView {
    const float* weight = nullptr;
    const float* bias = nullptr;  // or null
};
struct BlockView {
    NormView ln_1;
    MatrixView qkv, out;
    NormView ln_2;
    MatrixView fc, proj;
};
/// A GPT-2 as inference sees it. Matrices and wte are of weight_type, other parameters float32.
struct ModelView {
    int64_t d_model = 0, n_head = 0, vocab_size = 0;
    float epsilon = 1e-5f;
    bool gelu_tanh = true;
    kernels::Storage weight_type = kernels::Storage::kF32;
    kernels::Storage kv_type = kernels::Storage::kF32;  // that keys and values are rounded to
    const void* wte = nullptr;                          // [vocab_size, C]
    const float* wpe = nullptr;                         // [n_ctx, C]
    std::vector<BlockView> blocks;
    NormView ln_f;
    MatrixView head;  // n = vocab_size
};

/// Keys and values of every layer, as Inference::cache_layout says.
struct CacheView {
    std::vector<void*> kv;  // one a layer
    int64_t capacity = 0;
};

/// Consecutive tokens of one row; the first has position `position` of its text.
struct Segment {
    std::span<const int32_t> ids;
    int64_t position = 0;
    int64_t row = 0;  // in the cache, where tokens lie at their positions
};

/// Kernels of the instruction set in force.
struct InferenceKernels {
    kernels::GemvFn gemv;
    kernels::GemmFn gemm;
    kernels::DecodeAttentionFn decode_attention;
    kernels::ChunkAttentionFn chunk_attention;
    kernels::CausalAttentionFn causal_attention;
    kernels::LayerNormFn layer_norm;
    kernels::GeluFn gelu;
    kernels::ConvertFn convert;
    kernels::CrossEntropyFn cross_entropy;
};

/// Bytes of whole cache lines that hold so many.
constexpr int64_t aligned(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/// 64-byte aligned memory that grows and is reused.
class Scratch {
public:
    /// At least so much of it, contents undefined.
    void* at_least(int64_t bytes);
    float* floats(int64_t n) { return static_cast<float*>(at_least(n * 4)); }
    /// What there is.
    void* data() const { return data_.get(); }
    float* floats() const { return static_cast<float*>(data_.get()); }

private:
    struct Free {
        void operator()(void* p) const;
    };
    std::unique_ptr<void, Free> data_;
    int64_t bytes_ = 0;
};

/// Runs a model over tokens without LibTorch: all threads go through all layers together, in one
/// parallel region. Up to kFewRows tokens read every weight once (gemv); more are a matrix product.
class Inference {
public:
    static constexpr int64_t kFewRows = kernels::kMostGemvRows;

    /// `model` must outlive this.
    explicit Inference(const ModelView& model);

    /// Hidden states of all tokens of all segments, in order; they stay here until the next call.
    /// With a cache keys and values are stored in it, and tokens see all earlier ones of their row.
    /// Without one every segment is a whole text.
    void run(std::span<const Segment> segments, const CacheView* cache);
    /// Logits [tokens.size(), vocab_size] after these tokens of the last run.
    void logits(std::span<const int64_t> tokens, float* out);
    /// -log p(target) after each of these tokens of the last run; [tokens.size()].
    void nll(std::span<const int64_t> tokens, std::span<const int64_t> targets, float* out);

private:
    enum class Then { kStore, kGelu, kAdd };
    /// Heads of a segment that a worker attends with.
    struct Own {
        const Segment& segment;
        int64_t first_token = 0, first_head = 0, last_head = 0;
    };

    void prepare(std::span<const Segment> segments, const CacheView* cache);
    /// Memory for norms and products of `rows` rows, and `kernel_bytes` of workspace a worker.
    void reserve(int64_t rows, int64_t kernel_bytes);
    void embed(const Worker& worker);
    void block(const Worker& worker, const BlockView& block, void* kv);
    /// Normalized rows of x [rows, C]; each worker has its own when they are few.
    const float* norm(const Worker& worker, const NormView& norm, const float* x, int64_t rows);
    /// y [rows, n] from x [rows, k], rows `stride` values apart; the caller lets the workers meet.
    struct Input {
        const float* x = nullptr;
        int64_t stride = 0;
    };
    struct Output {
        float* y = nullptr;
        int64_t stride = 0;
    };
    void product(const Worker& worker, const MatrixView& matrix, Input input, Output output,
                 int64_t rows, Then then);
    int64_t hidden_stride() const;
    void attend(const Worker& worker, void* kv);
    void attend_cached(const Worker& worker, const Own& own, const void* kv);
    void attend_whole(const Worker& worker, const Own& own);
    /// Keys and values of the segment to their places, in kv_type.
    void store(const Own& own, void* kv) const;
    /// What attend_whole reads becomes what a cache would have.
    void round_keys_and_values(const Worker& worker, const Own& own);
    kernels::CacheLayout cache_layout() const;
    int64_t kv_bytes() const { return model_.kv_type == kernels::Storage::kF32 ? 4 : 2; }
    /// Hidden states of these tokens side by side.
    const float* choose(std::span<const int64_t> tokens);
    float* own_normed(const Worker& worker) const;
    void* own_workspace(const Worker& worker) const;
    float softmax_scale() const;

    const ModelView& model_;
    const InferenceKernels kernels_;
    const kernels::Fetch fetch_;
    std::span<const Segment> segments_;
    std::vector<int64_t> first_token_;  // of each segment
    int64_t rows_ = 0;                  // tokens of all segments
    int64_t capacity_ = 0;              // of the cache
    Barrier barrier_;
    Scratch x_, normed_, statistics_, qkv_, y_, lse_, hidden_, chosen_, logits_;
    Scratch own_;  // of each worker: a few normed rows with their statistics, kernels' workspace
    int64_t own_bytes_ = 0, own_normed_bytes_ = 0;
};

}  // namespace knlp::model
