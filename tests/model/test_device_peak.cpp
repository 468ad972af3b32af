#include "knlp/model/device_peak.h"

#include "knlp/model/gpt2.h"

#include <gtest/gtest.h>

namespace {

using knlp::model::bf16_peak;

TEST(DevicePeak, KnownDevicesHaveTheirDataSheets) {
    EXPECT_EQ(bf16_peak("NVIDIA H100 80GB HBM3"), 989e12);
    EXPECT_EQ(bf16_peak("NVIDIA H200"), 989e12);
    EXPECT_EQ(bf16_peak("NVIDIA A100-SXM4-80GB"), 312e12);
}

TEST(DevicePeak, UnknownDevicesHaveNone) {
    for (const char* name : {"", "NVIDIA H100 PCIe", "NVIDIA H200 NVL", "NVIDIA GeForce RTX 4090"})
        EXPECT_FALSE(bf16_peak(name)) << name;
}

// By hand: 500,000 tokens/s of 855.2 MFLOP each, the published figure of GPT-2 at context 1024, are
// 427.6 TFLOP/s of the 989 that NVIDIA states.
TEST(DevicePeak, MfuIsWhatTheTokensTakeOfThePeak) {
    using namespace knlp::model;
    const double peak = bf16_peak("NVIDIA H200").value();
    const double a_token = flops_per_token(gpt2_preset("124M"), 1024);
    const double share = mfu(500000, a_token, peak);
    EXPECT_NEAR(share, 0.43236, 0.005 * 0.43236);
    EXPECT_NEAR(share * peak / a_token, 500000, 0.005 * 500000);
}

}  // namespace
