// What only a build with USE_CUDA has; without a device there is little to see.

#include "src/model/cuda_device.h"

#include "kernels/dropout_mask.h"
#include "knlp/model/device_graph.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty_like.h>

#include <gtest/gtest.h>

#include <cstring>

namespace knlp::model {
namespace {

using kernels::DropoutMaskArgs;

class Cuda : public testing::Test {
protected:
    void SetUp() override {
        if (!cuda_problem().empty()) GTEST_SKIP() << cuda_problem();
    }
};

TEST(CudaProblem, IsNamedExactlyWhereNoDeviceIs) {
    EXPECT_EQ(cuda_problem().empty(), cuda_device_count() > 0) << cuda_problem();
}

TEST_F(Cuda, DropoutMaskGivesTheBitsOfScalar) {
    for (const int64_t width : {1, 7, 8, 15, 16, 17, 63, 64, 127, 128, 129, 257, 1000})
        for (const int64_t lines : {0, 1, 3})
            for (const uint32_t threshold : {0u, 1u, 6554u, 65535u}) {
                DropoutMaskArgs args;
                args.first_line = 0xFFFFFFFFull - 1;  // carries into the high word
                args.key[0] = 0x12345678u;
                args.key[1] = 0x9ABCDEF0u;
                args.site = 37;
                args.step = 0xFFFFFFF0u;
                args.threshold = threshold;
                args.lines = lines;
                args.width = width;
                args.scale = 1.1111f;
                const at::Tensor x = at::arange(1, lines * width + 1, at::kFloat);
                at::Tensor wanted = at::empty_like(x);
                args.x = x.const_data_ptr<float>();
                args.y = wanted.data_ptr<float>();
                kernels::dropout_mask_scalar(args);
                const at::Tensor on_device = x.to(at::Device(at::kCUDA, 0));
                at::Tensor got = at::empty_like(on_device);
                args.x = on_device.const_data_ptr<float>();
                args.y = got.data_ptr<float>();
                dropout_mask_on_cuda(args, 0);
                const at::Tensor back = got.cpu();
                ASSERT_EQ(std::memcmp(back.const_data_ptr(), wanted.const_data_ptr(),
                                      static_cast<size_t>(4 * lines * width)),
                          0)
                    << "width " << width << " lines " << lines << " threshold " << threshold;
            }
}

TEST_F(Cuda, AGraphReadsWhatItsTensorsHoldWhenItRuns) {
    at::Tensor in = at::arange(4, at::TensorOptions(at::kFloat).device(at::kCUDA, 0));
    at::Tensor out = at::empty_like(in);
    const auto work = [&] { out.copy_(in.mul(2)); };
    const std::unique_ptr<DeviceGraph> graph = make_device_graph(0);
    graph->warm_up(work);
    graph->record(work);
    in.fill_(5);
    graph->replay();
    EXPECT_EQ(out.sum().item<float>(), 40);
}

}  // namespace
}  // namespace knlp::model
