#include "kernels/decode.h"

#include <cmath>
#include <cstring>

namespace knlp::kernels {

namespace {

double load(const void* from, Storage type, int64_t i) {
    if (type == Storage::kF32) return static_cast<const float*>(from)[i];
    const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(from)[i]) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace

void gemv_scalar(const GemvArgs& a, int64_t first, int64_t last) {
    for (int64_t r = 0; r < a.rows; ++r)
        for (int64_t j = first; j < last; ++j) {
            double sum = a.bias != nullptr ? static_cast<double>(a.bias[j]) : 0.0;
            for (int64_t i = 0; i < a.k; ++i)
                sum +=
                    static_cast<double>(a.x[r * a.x_stride + i]) * load(a.w, a.w_type, j * a.k + i);
            float& y = a.y[r * a.y_stride + j];
            y = static_cast<float>(a.add ? sum + static_cast<double>(y) : sum);
        }
}

void decode_attention_scalar(const DecodeAttentionArgs& a, int64_t first, int64_t last,
                             float* workspace) {
    const int64_t width = a.n_head * a.d_head;
    for (int64_t pair = first; pair < last; ++pair) {
        const int64_t row = pair / a.n_head, head = pair % a.n_head * a.d_head;
        const int64_t start = a.start != nullptr ? a.start[row] : 0;
        const float* q = a.q + row * a.q_stride + head;
        float* y = a.y + row * width + head;
        const auto at = [&](int64_t slot) { return (row * a.capacity + slot) * width + head; };
        double peak = 0.0, sum = 0.0;
        for (int64_t s = start; s < a.kv_len; ++s) {
            double score = 0.0;
            for (int64_t d = 0; d < a.d_head; ++d)
                score += static_cast<double>(q[d]) * load(a.k, a.kv_type, at(s) + d);
            workspace[s] = static_cast<float>(score * static_cast<double>(a.softmax_scale));
            if (s == start || static_cast<double>(workspace[s]) > peak)
                peak = static_cast<double>(workspace[s]);
        }
        for (int64_t s = start; s < a.kv_len; ++s)
            sum += std::exp(static_cast<double>(workspace[s]) - peak);
        for (int64_t d = 0; d < a.d_head; ++d) {
            double value = 0.0;
            for (int64_t s = start; s < a.kv_len; ++s)
                value += std::exp(static_cast<double>(workspace[s]) - peak) *
                         load(a.v, a.kv_type, at(s) + d);
            y[d] = start < a.kv_len ? static_cast<float>(value / sum) : 0.0f;
        }
    }
}

}  // namespace knlp::kernels
