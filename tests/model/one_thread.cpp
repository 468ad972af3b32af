// The models here are so small that a second thread only waits, and on a busy machine waits long.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace {

struct OneThread : testing::Environment {
    void SetUp() override { at::set_num_threads(1); }
};
const testing::Environment* const environment = testing::AddGlobalTestEnvironment(new OneThread);

}  // namespace
