#include "knlp/core/error.h"
#include "knlp/data/batches.h"
#include "knlp/data/token_file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <numeric>

namespace knlp {
namespace {

class BatchLoading : public testing::Test {
protected:
    BatchLoading() {
        std::vector<int32_t> ids(2000);
        std::iota(ids.begin(), ids.end(), 0);
        data::write_tokens(dir_.file("train.bin"), ids, 65536, data::TokenLayout::kPlain);
        tokens_.emplace(data::TokenFile::open({dir_.file("train.bin")}));
    }
    test::TempDir dir_;
    std::optional<data::TokenFile> tokens_;
};

TEST_F(BatchLoading, GivesMicroBatchesInOrderOfStepAndMicro) {
    data::BatchLoader loader(*tokens_, 3, 5, 2, 3, 16);
    for (int64_t step = 5; step < 9; ++step)
        for (int64_t micro = 0; micro < 3; ++micro) {
            const data::Batch found = loader.next(),
                              expected = data::make_batch(*tokens_, 3, step, micro * 2, 2, 16);
            EXPECT_EQ(found.inputs, expected.inputs) << step << " " << micro;
            EXPECT_EQ(found.targets, expected.targets);
            EXPECT_EQ(found.rows, 2);
        }
}

TEST_F(BatchLoading, StartingAtALaterStepGivesTheSameBatches) {
    data::BatchLoader from_start(*tokens_, 3, 0, 4, 1, 16), resumed(*tokens_, 3, 6, 4, 1, 16);
    for (int64_t step = 0; step < 6; ++step) from_start.next();
    for (int64_t step = 6; step < 10; ++step)
        EXPECT_EQ(from_start.next().inputs, resumed.next().inputs);
}

TEST_F(BatchLoading, LoadingFurtherAheadChangesNothing) {
    data::BatchLoader one(*tokens_, 3, 0, 4, 2, 16, 1), many(*tokens_, 3, 0, 4, 2, 16, 9);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(one.next().inputs, many.next().inputs);
}

TEST_F(BatchLoading, EndsCleanlyWithBatchesLeft) {
    for (int i = 0; i < 50; ++i) {
        data::BatchLoader loader(*tokens_, 1, 0, 4, 1, 16);
        if (i % 2 == 0) loader.next();
        EXPECT_GE(loader.waited_seconds(), 0.0);
    }
}

TEST_F(BatchLoading, RefusesAFileShorterThanAWindow) {
    test::expect_error(kData, {"train.bin: 2000 tokens, need at least 2001"},
                       [&] { data::BatchLoader(*tokens_, 1, 0, 1, 1, 2000); });
}

}  // namespace
}  // namespace knlp
