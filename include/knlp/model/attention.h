#pragma once

#include "knlp/config/model.h"
#include "knlp/model/device.h"
#include "knlp/model/parameter_spec.h"
#include "knlp/model/tensor_names.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::model {

struct Parameter;
class AnomalyWatch;

/// What one layer of an attention variant wants to keep per token: memory is predicted, allocated
/// and reported from this value alone.
struct CacheLane {
    std::string name;  // "k", "v"
    int64_t values_per_token = 0;
    int64_t value_bytes = 4;
};
using CacheSpec = std::vector<CacheLane>;  // one layer's lanes
int64_t cache_bytes_per_token(const CacheSpec& spec);

/// The cache of one layer for a batch: every lane preallocated [B, capacity, values_per_token].
/// Rows may have different lengths: row b starts at position 0 at slot start[b] (left padding).
struct LayerCache {
    std::vector<at::Tensor> lanes;
    int64_t length = 0;  // slots filled
};

/// All layers. bytes() equals the allocation exactly.
class KvCache {
public:
    KvCache(const std::vector<CacheSpec>& layers, int64_t batch, int64_t capacity,
            Device device = {});
    ~KvCache();
    KvCache(KvCache&&) noexcept;
    LayerCache& layer(int64_t index) { return layers_.at(static_cast<size_t>(index)); }
    int64_t length() const;
    int64_t capacity() const { return capacity_; }
    int64_t bytes() const;
    void truncate(int64_t length);
    /// First slot of each row that holds a token; 0 without left padding. [B]
    std::vector<int64_t> row_start;

private:
    std::vector<LayerCache> layers_;
    int64_t capacity_ = 0;
};

/// What a forward pass needs besides x. Plain values; `dropout_site` numbers the dropout sites of a
/// pass.
struct ForwardContext {
    bool training = false;
    double dropout = -1.0;        // rate while training; negative: the model's own
    uint64_t seed = 0;            // dropout stream
    int64_t step = 0, micro = 0;  // with the site number they fix every mask
    int64_t first_row = 0;        // rows are numbered over the whole effective batch, so that
                                  // micro-batches of any size draw the same masks
    int64_t dropout_site = 0;     // advanced by each use
    bool bf16 = false;            // matrix products in bfloat16, fp32 accumulation and storage
    AnomalyWatch* anomalies = nullptr;  // looks at every tensor of a pass, which is then autograd's
    double forward_s = 0;  // set by loss_and_gradients: seconds until the loss was known
};

/// One attention layer: x [B, T, C] (layer-normed block input) -> [B, T, C], before the residual.
class Attention {
public:
    virtual ~Attention() = default;
    /// cache null: causal over x. Otherwise x is appended to the cache and query i of the chunk at
    /// slot p + i sees slots row_start..p + i.
    virtual at::Tensor forward(const at::Tensor& x, ForwardContext& context, KvCache* cache,
                               int64_t layer) = 0;
};

/// A row of the attention table (lists in src/model/attn/Build.mk).
struct AttentionType {
    std::string_view name, symbol, summary;
    /// c_attn, softmax over all earlier tokens, c_proj: what the CPU's own passes compute.
    bool plain_causal = false;
    /// Parameters of layer `layer`, names below "h.<layer>.attn.".
    std::vector<ParameterSpec> (*parameters)(const config::Model&, int64_t layer);
    CacheSpec (*cache)(const config::Model&, int64_t layer);
    /// Extra activation bytes of one layer for a micro-batch, for the memory estimate.
    int64_t (*activation_bytes)(const config::Model&, int64_t batch, int64_t length, bool training);
    std::unique_ptr<Attention> (*make)(const config::Model&, int64_t layer,
                                       std::span<Parameter*> own);
};
std::span<const AttentionType* const> attention_types();
/// Error{kNotAvailable, "E_NOT_BUILT"} naming the symbol when it is not in this build.
const AttentionType& attention_type(std::string_view name);

}  // namespace knlp::model
