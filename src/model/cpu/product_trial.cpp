#include "knlp/model/product_trial.h"

#include "product.h"

#include "knlp/core/error.h"

namespace knlp::model {

bool onednn_available();  // gemm.h, which needs LibTorch

namespace {

using kernels::GemmArgs;
using kernels::Storage;

/// Small numbers of both signs; as two bfloat16 their bits are ordinary numbers too.
std::vector<float> operand(int64_t values) {
    std::vector<float> data(static_cast<size_t>(values));
    for (size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<float>(static_cast<int64_t>(i * 7919 % 255) - 127) / 256.0f;
    return data;
}

}  // namespace

const char* name_of(LayerProduct product) {
    switch (product) {
        case LayerProduct::kForward:
            return "forward";
        case LayerProduct::kInput:
            return "input";
        case LayerProduct::kWeight:
            return "weight";
    }
    return "";
}

std::vector<std::string> product_routes() {
    std::vector<std::string> names = {name_of(Route::kNative)};
    if (onednn_available()) names.emplace_back(name_of(Route::kOnednn));
    names.emplace_back(name_of(Route::kAten));
    return names;
}

ProductTrial::ProductTrial(const std::string& route, LayerProduct product, int64_t m, int64_t n,
                           int64_t k, bool bf16)
    : route_(static_cast<uint8_t>(parse_routes(route).at[0])),
      product_(product),
      m_(m),
      n_(n),
      k_(k),
      bf16_(bf16) {
    if (static_cast<Route>(route_) == Route::kOnednn && !onednn_available())
        fail(kNotAvailable, "GEMM route {}: this LibTorch has no oneDNN", route);
    KNLP_CHECK(m > 0 && n > 0 && k > 0);
    const bool reads_weight = product != LayerProduct::kWeight;
    a_ = operand(product == LayerProduct::kForward ? m * k : m * n);
    b_ = operand(reads_weight ? n * k : m * k);
    c_.resize(static_cast<size_t>(product == LayerProduct::kForward ? m * n
                                  : reads_weight                    ? m * k
                                                                    : n * k));
}

double ProductTrial::flops() const {
    return 2.0 * static_cast<double>(m_) * static_cast<double>(n_) * static_cast<double>(k_);
}

void ProductTrial::run() {
    const Storage type = bf16_ ? Storage::kBf16 : Storage::kF32;
    GemmArgs args{.a = a_.data(),
                  .b = b_.data(),
                  .c = c_.data(),
                  .a_type = type,
                  .b_type = type,
                  .c_type = type,
                  .compute = type};
    switch (product_) {
        case LayerProduct::kForward:
            args.m = m_, args.n = n_, args.k = k_;
            args.transpose_b = true;
            args.lda = args.ldb = k_;
            break;
        case LayerProduct::kInput:
            args.m = m_, args.n = k_, args.k = n_;
            args.lda = n_, args.ldb = k_;
            break;
        case LayerProduct::kWeight:
            args.m = n_, args.n = k_, args.k = m_;
            args.transpose_a = true;
            args.lda = n_, args.ldb = k_;
            args.c_type = Storage::kF32;
            break;
    }
    args.ldc = args.n;
    gemm_by(static_cast<Route>(route_), args);
}

}  // namespace knlp::model
