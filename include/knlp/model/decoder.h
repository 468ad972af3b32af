#pragma once

#include "knlp/model/attention.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace knlp::model {

class Gpt2;

/// Makes room for weights that inference alone will read, before they are loaded: one block of huge
/// pages where the system has them, matrices as bfloat16 when asked to, so that they never take the
/// memory of fp32. Contents are undefined afterwards.
void prepare_weights(Gpt2& model, bool bf16);

/// Inference on the CPU by our own kernels, without autograd: what generation and scoring use where
/// suits() says so. One token of up to 16 rows reads every weight once and is limited by memory;
/// more tokens are matrix products.
class Decoder {
public:
    /// True for causal attention on the CPU with parameters in fp32, or matrices in bf16.
    static bool suits(Gpt2& model);

    /// Uses the model's weights where they lie: it must outlive this and stay unchanged meanwhile.
    /// bf16 makes bfloat16 copies of matrices that are fp32. Products take bf16 weights with fp32
    /// activations for up to 16 tokens, and round the activations too for more. Keys and values are
    /// rounded to bfloat16 with or without a cache when bf16_cache says so; by default the cache is
    /// of the weights' type.
    explicit Decoder(Gpt2& model, bool bf16 = false, std::optional<bool> bf16_cache = {});
    ~Decoder();
    Decoder(Decoder&&) noexcept;

    /// What a cache for read() is to be made of: one lane, within which read() alone knows where a
    /// key or a value is.
    std::vector<CacheSpec> cache_specs() const;
    /// Appends ids [rows, q_len] to the cache, made of cache_specs(); slots before a row's start
    /// are skipped. logits [rows, vocab_size] take what follows the last token of each row; null:
    /// not computed.
    void read(std::span<const int32_t> ids, int64_t rows, KvCache& cache, float* logits);
    /// Logits [vocab_size] after a whole text, without a cache.
    void read(std::span<const int32_t> ids, float* logits);
    /// -log p of each target [rows, length], 0 where it is -1. ids as targets; every row is a text
    /// of its own, of which nothing after its last target is run.
    void token_nll(std::span<const int64_t> ids, std::span<const int64_t> targets, int64_t rows,
                   float* nll);

    bool bf16() const;
    /// Weights that a step of one token reads.
    int64_t weight_bytes() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp::model
