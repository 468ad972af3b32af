#include "knlp/core/memory_estimate.h"

#include "tests/support/expect_error.h"

#include <gtest/gtest.h>

namespace {

using namespace knlp;
using test::expect_error;

TEST(MemoryEstimate, NamesTheThreeLargestTermsAndTheAdviceWhenItDoesNotFit) {
    MemoryEstimate estimate{.terms = {{"weights", 500'000'000},
                                      {"gradients", 400'000'000},
                                      {"optimizer state", 1'000'000'000},
                                      {"activations", 900'000'000}},
                            .available = 2'000'000'000};
    const std::string text =
        expect_error(kRun,
                     {"2.8 GB of memory, 2.0 GB are available",
                      "optimizer state 1.0 GB, activations 900 MB, weights 500 MB; do less"},
                     [&] { require_fit(estimate, "do less"); });
    EXPECT_EQ(text.find("gradients"), std::string::npos);
    estimate.device = "cuda:1";
    expect_error(kRun, {"2.8 GB of memory on cuda:1, 2.0 GB are available"},
                 [&] { require_fit(estimate, "do less"); });
}

TEST(MemoryEstimate, LeavesATwentiethOfWhatIsAvailable) {
    MemoryEstimate estimate{.terms = {{"weights", 95}}, .available = 100};
    EXPECT_EQ(shortage_text(estimate, ""), "");
    EXPECT_NO_THROW(require_fit(estimate, ""));
    estimate.terms[0].bytes = 96;
    EXPECT_NE(shortage_text(estimate, ""), "");
}

TEST(MemoryEstimate, LargestFittingIsTheLastThatFits) {
    const auto total = [](int64_t batch) { return 10 + 7 * batch; };
    EXPECT_EQ(largest_fitting(100, 100, total), 12);  // 94 of 95
    EXPECT_EQ(largest_fitting(5, 100, total), 5);
    EXPECT_EQ(largest_fitting(100, 17, total), 0);
}

TEST(BytesText, HasTwoOrThreeDigits) {
    EXPECT_EQ(bytes_text(812), "812 B");
    EXPECT_EQ(bytes_text(12'345'678), "12 MB");
    EXPECT_EQ(bytes_text(1'345'678'901), "1.3 GB");
}

}  // namespace
