#pragma once

#include "knlp/model/device.h"

#include <array>
#include <cstdint>
#include <exception>
#include <map>
#include <string>
#include <vector>

namespace knlp::model {

/// Threads and determinism; call once before the first tensor operation. Warns when there are more
/// threads than usable cores.
struct Runtime {
    int64_t threads = 0;  // 0 = usable_cores()
    bool deterministic = true;
};
void start_runtime(const Runtime& runtime);
int64_t runtime_threads();

/// "auto", "cpu", "cuda", "cuda:N". auto: CUDA when a device is usable, else CPU. "cuda" without
/// one: Error{kNotAvailable} "no CUDA device (driver not found)".
Device resolve_device(const std::string& name);

/// Product name of a CUDA device as its driver gives it; "" for the CPU.
std::string device_name(Device device);

/// Bytes that can be had on a device: free on a CUDA device, 0 where its driver does not tell; what
/// the machine has available on the CPU.
int64_t device_free_bytes(Device device);

/// Who multiplies matrices on the CPU: "native" (our own kernels), "onednn", "aten", or a list such
/// as "native;head.weight=onednn". "auto" times them on the given shapes [M, N, K], those of a
/// block and last the head's, and remembers the answer in the user's cache directory. Returns the
/// choice, which is in force from then on. Error{kUsage} for an unknown route, Error{kNotAvailable}
/// for one that this LibTorch lacks.
std::string choose_gemm_route(const std::string& wanted,
                              const std::vector<std::array<int64_t, 3>>& shapes, bool bf16 = false);
void set_gemm_route(const std::string& route);
std::string gemm_route();

/// What a choice of "auto" was made by.
struct RouteTiming {
    std::string route;                           // the choice
    std::vector<std::array<int64_t, 3>> shapes;  // as they were timed: with fewer rows than asked
    /// "block.forward" -> "native" -> the least seconds of all products of the place. Empty when
    /// nothing was timed.
    std::map<std::string, std::map<std::string, double>> seconds;
};
/// Of the choice in force, measured now or by an earlier process; nothing for a route that was
/// given.
const RouteTiming& gemm_timing();

/// Number of distinct OpenMP runtimes mapped into this process; must be 1.
int64_t openmp_runtimes();
std::string torch_version();
/// What LibTorch says was wrong, without its backtrace; "" for another error than LibTorch's.
std::string torch_error_text(const std::exception& error);

}  // namespace knlp::model
