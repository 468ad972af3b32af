#include "knlp/core/error.h"
#include "knlp/core/memory.h"
#include "knlp/model/attention.h"
#include "knlp/model/tensor_device.h"

namespace knlp::model {

namespace {

at::ScalarType scalar_type_of(const CacheLane& lane) {
    switch (lane.value_bytes) {
        case 2:
            return at::kBFloat16;
        case 4:
            return at::kFloat;
        case 8:
            return at::kDouble;
        default:
            fail(kUsage, "cache lane '{}' wants {} bytes a value; 2, 4 or 8 are possible",
                 lane.name, lane.value_bytes);
    }
}

}  // namespace

int64_t cache_bytes_per_token(const CacheSpec& spec) {
    int64_t bytes = 0;
    for (const CacheLane& lane : spec) bytes += lane.values_per_token * lane.value_bytes;
    return bytes;
}

KvCache::KvCache(const std::vector<CacheSpec>& layers, int64_t batch, int64_t capacity,
                 Device device)
    : capacity_(capacity) {
    KNLP_CHECK(batch > 0 && capacity > 0);
    for (const CacheSpec& spec : layers) {
        LayerCache layer;
        for (const CacheLane& lane : spec) {
            layer.lanes.push_back(at::empty(
                {batch, capacity, lane.values_per_token},
                at::TensorOptions().dtype(scalar_type_of(lane)).device(tensor_device(device))));
            if (device.is_cpu())
                prefer_huge_pages(layer.lanes.back().mutable_data_ptr(),
                                  static_cast<int64_t>(layer.lanes.back().nbytes()));
        }
        layers_.push_back(std::move(layer));
    }
}

KvCache::~KvCache() = default;
KvCache::KvCache(KvCache&&) noexcept = default;

int64_t KvCache::length() const {
    return layers_.empty() ? 0 : layers_.front().length;
}

int64_t KvCache::bytes() const {
    int64_t bytes = 0;
    for (const LayerCache& layer : layers_)
        for (const at::Tensor& lane : layer.lanes) bytes += static_cast<int64_t>(lane.nbytes());
    return bytes;
}

void KvCache::truncate(int64_t length) {
    KNLP_CHECK(length >= 0 && length <= this->length());
    for (LayerCache& layer : layers_) layer.length = length;
}

}  // namespace knlp::model
