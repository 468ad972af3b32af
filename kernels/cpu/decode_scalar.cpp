#include "kernels/decode.h"

#include "kernels/cpu/scalar.h"

#include <cmath>

namespace knlp::kernels {

void gemv_scalar(const GemvArgs& a, int64_t first, int64_t last, void*) {
    for (int64_t r = 0; r < a.rows; ++r)
        for (int64_t j = first; j < last; ++j) {
            double sum = a.bias != nullptr ? static_cast<double>(a.bias[j]) : 0.0;
            for (int64_t i = 0; i < a.k; ++i) {
                uint16_t rounded = 0;
                store(&rounded, Storage::kBf16, 0, a.x[r * a.x_stride + i]);
                const double x = a.w_type == Storage::kF32 ? a.x[r * a.x_stride + i]
                                                           : load(&rounded, Storage::kBf16, 0);
                sum += x * static_cast<double>(load(a.w, a.w_type, j * a.k + i));
            }
            float& y = a.y[r * a.y_stride + j];
            y = static_cast<float>(a.add ? sum + static_cast<double>(y) : sum);
        }
}

void decode_attention_scalar(const DecodeAttentionArgs& a, int64_t first, int64_t last,
                             float* workspace) {
    const CacheLayout& cache = a.cache;
    for (int64_t pair = first; pair < last; ++pair) {
        const int64_t row = pair / cache.n_head, head = pair % cache.n_head, d_head = cache.d_head;
        const float* q = a.q + row * a.q_stride + head * d_head;
        float* y = a.y + pair * d_head;
        const auto key = [&](int64_t s, int64_t d) {
            const int64_t begin = s - s % cache.block();
            const int64_t at = cache.keys(head, begin) + (s - begin) * d_head;
            return load(a.kv, cache.type, row * cache.row() + at + d);
        };
        const auto value_of = [&](int64_t s, int64_t d) {
            return key(s, d + cache.values(s - s % cache.block()));
        };
        double peak = 0.0, sum = 0.0;
        for (int64_t s = 0; s < a.kv_len; ++s) {
            double score = 0.0;
            for (int64_t d = 0; d < d_head; ++d) score += static_cast<double>(q[d]) * key(s, d);
            workspace[s] = static_cast<float>(score * static_cast<double>(a.softmax_scale));
            if (s == 0 || static_cast<double>(workspace[s]) > peak)
                peak = static_cast<double>(workspace[s]);
        }
        for (int64_t s = 0; s < a.kv_len; ++s) {
            workspace[s] = static_cast<float>(std::exp(static_cast<double>(workspace[s]) - peak));
            sum += static_cast<double>(workspace[s]);
        }
        for (int64_t d = 0; d < d_head; ++d) {
            double value = 0.0;
            for (int64_t s = 0; s < a.kv_len; ++s)
                value += static_cast<double>(workspace[s]) * value_of(s, d);
            y[d] = a.kv_len > 0 ? static_cast<float>(value / sum) : 0.0f;
        }
    }
}

}  // namespace knlp::kernels
