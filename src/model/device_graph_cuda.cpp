// CUDA graphs without linking libtorch_cuda: capture is the CUDA runtime's, and the allocator that
// must hand out memory of the graph's own while it records is reached through c10's registry, by
// virtual calls. at::cuda::CUDAGraph does the same, and beside it counts random numbers, of which
// our steps draw none.

#include "cuda_device.h"

#include "knlp/core/error.h"

#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>

#include <exception>

namespace knlp::model {

namespace {

using c10::cuda::CUDACachingAllocator::CUDAAllocator;

void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // not to be found by the next call
    fail(kNotAvailable, "{}: {}", what, cudaGetErrorString(error));
}

CUDAAllocator& allocator() {
    auto* found = static_cast<CUDAAllocator*>(c10::GetAllocator(at::kCUDA));
    KNLP_CHECK(found != nullptr);
    return *found;
}

/// Pools of graphs have a number first, which nobody else in this process gives out.
c10::MempoolId_t next_pool() {
    static c10::CaptureId_t last = 0;
    return {++last, 0};
}

/// Sends allocations on one stream to a pool of their own.
class PoolScope {
public:
    PoolScope(c10::DeviceIndex index, c10::MempoolId_t pool, cudaStream_t stream)
        : index_(index), pool_(pool) {
        allocator().beginAllocateToPool(index, pool,
                                        [stream](cudaStream_t s) { return s == stream; });
    }
    ~PoolScope() { allocator().endAllocateToPool(index_, pool_); }
    PoolScope(const PoolScope&) = delete;
    PoolScope& operator=(const PoolScope&) = delete;

private:
    c10::DeviceIndex index_;
    c10::MempoolId_t pool_;
};

class CudaGraph final : public DeviceGraph {
public:
    explicit CudaGraph(c10::DeviceIndex index)
        : device_(at::kCUDA, index),
          runtime_(at::kCUDA),
          stream_(runtime_.getStreamFromGlobalPool(device_, false)),
          native_(static_cast<cudaStream_t>(stream_.native_handle())) {}
    ~CudaGraph() override { forget(); }

    void warm_up(const std::function<void()>& work) override {
        // Neither queue overtakes the other, so memory may pass between them.
        follow(runtime_.getStream(device_), stream_);
        {
            const c10::StreamGuard on(stream_);
            work();
        }
        follow(stream_, runtime_.getStream(device_));
    }

    void record(const std::function<void()>& work) override {
        forget();
        runtime_.synchronizeDevice(device_.index());
        const c10::StreamGuard on(stream_);
        pool_ = next_pool();
        has_pool_ = true;
        cudaGraph_t graph = nullptr;
        try {
            const PoolScope own(device_.index(), pool_, native_);
            check(cudaStreamBeginCapture(native_, cudaStreamCaptureModeGlobal), "begin");
            std::exception_ptr error;
            try {
                work();
            } catch (...) {
                error = std::current_exception();
            }
            const cudaError_t ended = cudaStreamEndCapture(native_, &graph);
            if (error) std::rethrow_exception(error);
            check(ended, "end");
            KNLP_CHECK(graph != nullptr);
            check(cudaGraphInstantiate(&ready_, graph, cudaGraphInstantiateFlagAutoFreeOnLaunch),
                  "instantiate");
            cudaGraphDestroy(graph);
        } catch (const std::exception& error) {
            if (graph != nullptr) cudaGraphDestroy(graph);
            cudaGetLastError();
            forget();
            const std::string_view text = error.what();  // LibTorch's goes on with a backtrace
            fail(kNotAvailable, "the step cannot be recorded as a CUDA graph ({})",
                 text.substr(0, text.find('\n')));
        }
    }

    void replay() override {
        KNLP_CHECK(ready_ != nullptr);
        const auto current = static_cast<cudaStream_t>(runtime_.getStream(device_).native_handle());
        check(cudaGraphLaunch(ready_, current), "CUDA error in the launch of a recorded step");
    }

private:
    static void follow(const c10::Stream& first, const c10::Stream& then) {
        c10::Event reached(at::kCUDA);
        reached.record(first);
        reached.block(then);
    }

    void forget() {
        if (ready_ != nullptr) {
            runtime_.synchronizeDevice(device_.index());
            cudaGraphExecDestroy(ready_);
            ready_ = nullptr;
        }
        if (has_pool_) allocator().releasePool(device_.index(), pool_);
        has_pool_ = false;
    }

    at::Device device_;
    c10::impl::VirtualGuardImpl runtime_;
    c10::Stream stream_;
    cudaStream_t native_;
    c10::MempoolId_t pool_ = {0, 0};
    bool has_pool_ = false;
    cudaGraphExec_t ready_ = nullptr;
};

}  // namespace

std::unique_ptr<DeviceGraph> make_cuda_graph(int64_t device_index) {
    KNLP_CHECK(cuda_problem().empty());
    return std::make_unique<CudaGraph>(static_cast<c10::DeviceIndex>(device_index));
}

}  // namespace knlp::model
