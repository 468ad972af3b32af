#pragma once

// LibTorch's names for interfaces that only pass them on: a file that includes these interfaces
// need not compile LibTorch's headers.

#include <cstdint>

namespace c10 {
enum class ScalarType : int8_t;
}
namespace at {
class Tensor;
using c10::ScalarType;
}  // namespace at
