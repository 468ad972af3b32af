#pragma once

#include "knlp/config/model.h"
#include "knlp/model/attention.h"
#include "knlp/model/device.h"
#include "knlp/model/parameter_spec.h"
#include "knlp/model/tensor_names.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::data {
struct Batch;
}

namespace knlp::model {

struct Parameter;

/// Every parameter of the model, in file order, without allocating any.
std::vector<ParameterSpec> gpt2_parameters(const config::Model& model);
int64_t parameter_count(const config::Model& model);
int64_t parameter_count_without_positions(const config::Model& model);
std::vector<CacheSpec> cache_specs(const config::Model& model);  // one per layer
/// Rows of logits that exist at one time while the loss of so many (one or more) is computed:
/// loss_chunk, or what fits into a fixed amount of memory, in chunks of about equal size.
int64_t logit_rows(const config::Model& model, int64_t rows, Device device);
/// Activations that training keeps for the backward pass of one micro-batch (or holds at once
/// without gradients), logits included: the memory estimate of the trainer. Upper bound, not exact.
int64_t activation_bytes(const config::Model& model, int64_t batch, int64_t length, bool training,
                         Device device);
/// Bytes of the buffers that our own passes on the CPU keep for micro-batches of this shape, with
/// or without gradients; 0 where these passes do not serve the model and activation_bytes() holds.
int64_t pass_bytes(const config::Model& model, int64_t batch, int64_t length, bool bf16,
                   bool training, int64_t threads);
/// Shapes [M, N, K] of the products of one micro-batch on the CPU, for choose_gemm_route.
std::vector<std::array<int64_t, 3>> gemm_shapes(const config::Model& model, int64_t batch,
                                                int64_t length);
/// 6 N + 12 L H d_head T forward + backward FLOPs of one token, N without the position table.
double flops_per_token(const config::Model& model, int64_t length);

/// wte and an untied head: one row a token, padding rows at the end.
bool has_vocabulary_rows(const ParameterSpec& spec);

/// Sizes by name (nano, tiny, 124M, …): the table of docs/models.md. Error{kUsage} for another
/// name.
config::Model gpt2_preset(std::string_view size);

/// Pre-norm decoder (Radford et al. 2019): embeddings, blocks, final norm, tied head.
class Gpt2 {
public:
    explicit Gpt2(const config::Model& model, Device device = {});
    ~Gpt2();
    Gpt2(Gpt2&&) noexcept;

    const config::Model& config() const;
    Device device() const;
    std::vector<Parameter>& parameters();
    Parameter* find(std::string_view name);

    /// Fills every tensor from its own stream keyed by (seed, name); tied tensors once.
    void initialize(uint64_t seed);

    /// ids [B, T] int64 -> hidden states after the final norm [B, T, C].
    at::Tensor hidden(const at::Tensor& ids, ForwardContext& context, KvCache* cache = nullptr);
    /// Hidden states -> logits [.., V]; padded vocabulary columns are -inf.
    at::Tensor logits(const at::Tensor& hidden, ForwardContext& context);
    /// Mean cross-entropy over targets != -1, in nats; head and loss in chunks of logit_rows().
    /// `divisor` > 0 replaces the count of targets (accumulation over micro-batches).
    at::Tensor loss(const at::Tensor& ids, const at::Tensor& targets, ForwardContext& context,
                    double divisor = 0.0);
    /// The same loss (in double, 0-dim), and its gradients added to .grad of every parameter. On
    /// the CPU, without dropout and with plain attention, by our own passes: no autograd, and .grad
    /// keeps its memory. After clear_gradients() what .grad holds is replaced.
    at::Tensor loss_and_gradients(const at::Tensor& ids, const at::Tensor& targets,
                                  ForwardContext& context, double divisor = 0.0);
    /// The same for a micro-batch, when it is known: waits for the device.
    double loss_and_gradients(const data::Batch& batch, ForwardContext& context,
                              double divisor = 0.0);
    /// Forgets the gradients: they are undefined or hold anything until the next pass.
    void clear_gradients();
    /// Negative log-likelihood of each target [B, T] (0 where -1), no gradient.
    at::Tensor token_nll(const at::Tensor& ids, const at::Tensor& targets, ForwardContext& context);
    /// Mean of it over each row.
    std::vector<double> row_losses(const data::Batch& batch, ForwardContext& context);

    /// Name of the first parameter that holds a value which is not finite, or "".
    std::string first_bad_parameter() const;

    std::unique_ptr<Gpt2> clone() const;  // deep copy of the weights

    /// Converts the parameters; float64 is for checks against finite differences.
    void to(at::ScalarType type);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp::model
