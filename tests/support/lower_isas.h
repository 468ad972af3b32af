#pragma once

#include "knlp/core/host.h"

#include "tests/support/run_program.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <string>

namespace knlp::test {

/// Runs these tests of this binary again under every instruction set below the one in force, each
/// in a process of its own, since the choice is made once.
inline void expect_to_pass_under_lower_isas(const std::string& filter) {
    if (isa() == Isa::kScalar) GTEST_SKIP() << "the scalar kernels are those in force";
    const std::string self = std::filesystem::read_symlink("/proc/self/exe");
    for (const Isa lower : {Isa::kAvx2, Isa::kScalar}) {
        if (lower >= isa()) continue;
        SCOPED_TRACE(name_of(lower));
        const Finished done =
            run_program({self, "--gtest_filter=" + filter}, {{"KNLP_ISA", name_of(lower)}});
        EXPECT_EQ(done.status, 0) << done.out;
        EXPECT_THAT(done.out, testing::ContainsRegex("PASSED  . [1-9]")) << done.err;
    }
}

}  // namespace knlp::test
