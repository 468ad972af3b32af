#include "src/bench/device_peak.h"

#include <gtest/gtest.h>

namespace {

using knlp::bench::bf16_peak;

TEST(DevicePeak, KnownDevicesHaveTheirDataSheets) {
    EXPECT_EQ(bf16_peak("NVIDIA H100 80GB HBM3"), 989e12);
    EXPECT_EQ(bf16_peak("NVIDIA H200"), 989e12);
    EXPECT_EQ(bf16_peak("NVIDIA A100-SXM4-80GB"), 312e12);
}

TEST(DevicePeak, UnknownDevicesHaveNone) {
    for (const char* name : {"", "NVIDIA H100 PCIe", "NVIDIA H200 NVL", "NVIDIA GeForce RTX 4090"})
        EXPECT_FALSE(bf16_peak(name)) << name;
}

}  // namespace
