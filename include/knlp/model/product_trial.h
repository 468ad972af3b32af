#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace knlp::model {

/// The products of a linear layer with weight W [n, k] over m rows: y = x W^T, dx = dy W,
/// dW = dy^T x.
enum class LayerProduct { kForward, kInput, kWeight };
/// "forward", "input", "weight"
const char* name_of(LayerProduct product);

/// Routes of matrix products that this binary and its LibTorch have: "native", "onednn", "aten".
std::vector<std::string> product_routes();

/// One product with operands of its own, for measuring a route. bf16: x, dy, y and dx are bfloat16
/// and so is W, dW is float32, sums are float32.
class ProductTrial {
public:
    /// Error{kUsage} for a route that is unknown, Error{kNotAvailable} for one that is not there.
    ProductTrial(const std::string& route, LayerProduct product, int64_t m, int64_t n, int64_t k,
                 bool bf16);
    /// Once, on the threads of start_runtime().
    void run();
    double flops() const;

private:
    uint8_t route_;
    LayerProduct product_;
    int64_t m_, n_, k_;
    bool bf16_;
    std::vector<float> a_, b_, c_;  // room enough for either type
};

}  // namespace knlp::model
