#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace knlp::model {

/// Threads, determinism and GEMM route; call once before the first tensor operation.
struct Runtime {
    int64_t threads = 0;  // 0 = usable_cores()
    bool deterministic = true;
};
void start_runtime(const Runtime& runtime);
int64_t runtime_threads();

/// "auto", "cpu", "cuda", "cuda:N". auto: CUDA when a device is usable, else CPU. "cuda" without
/// one: Error{kNotAvailable} "no CUDA device (driver not found)".
at::Device resolve_device(const std::string& name);

/// GEMM route of linear layers: "aten" or "onednn"; "auto" times both on the given shapes [M, N,
/// K], on one thread by its CPU time, for about 200 ms. Returns the choice; linear layers use it
/// from then on.
std::string choose_gemm_route(const std::string& wanted,
                              const std::vector<std::array<int64_t, 3>>& shapes);
void set_gemm_route(const std::string& route);
const std::string& gemm_route();

/// Number of distinct OpenMP runtimes mapped into this process; must be 1.
int64_t openmp_runtimes();
std::string torch_version();

}  // namespace knlp::model
