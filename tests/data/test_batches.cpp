#include "knlp/data/batches.h"

#include "knlp/core/error.h"
#include "knlp/data/token_file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace knlp {
namespace {

using test::expect_error;

/// A file whose token i is i, so that an id tells where it was read.
struct CountingFile {
    explicit CountingFile(int32_t n) {
        std::vector<int32_t> ids(static_cast<size_t>(n));
        std::iota(ids.begin(), ids.end(), 0);
        data::write_tokens(dir.file("train.bin"), ids, 65536, data::TokenLayout::kPlain);
    }
    test::TempDir dir;
    data::TokenFile open() const { return data::TokenFile::open({dir.file("train.bin")}); }
};

TEST(Batches, TargetsAreInputsShiftedByOne) {
    const CountingFile file(500);
    const data::Batch batch = data::make_batch(file.open(), 1, 3, 0, 8, 16);
    ASSERT_EQ(batch.inputs.size(), 8u * 16u);
    ASSERT_EQ(batch.targets.size(), 8u * 16u);
    for (size_t i = 0; i < batch.inputs.size(); ++i) {
        EXPECT_EQ(batch.targets[i], batch.inputs[i] + 1);
        if (i % 16 != 0) {
            EXPECT_EQ(batch.inputs[i], batch.inputs[i - 1] + 1);
        }
    }
}

TEST(Batches, RowsStartWhereWindowStartSays) {
    const CountingFile file(500);
    const data::Batch batch = data::make_batch(file.open(), 42, 7, 5, 3, 16);
    for (size_t row = 0; row < 3; ++row)
        EXPECT_EQ(batch.inputs[row * 16], data::window_start(42, "train", 7, 5 + row, 500, 16));
}

TEST(Batches, EveryDivisionIntoMicroBatchesGivesTheSameRows) {
    const CountingFile file(1000);
    const data::TokenFile tokens = file.open();
    const data::Batch whole = data::make_batch(tokens, 9, 4, 0, 12, 8);
    for (int64_t rows : {1, 2, 3, 4, 6}) {
        std::vector<int64_t> inputs;
        for (int64_t first = 0; first < 12; first += rows) {
            const data::Batch part = data::make_batch(tokens, 9, 4, first, rows, 8);
            inputs.insert(inputs.end(), part.inputs.begin(), part.inputs.end());
        }
        EXPECT_EQ(inputs, whole.inputs) << rows << " rows";
    }
}

TEST(WindowStart, CoversAllPlacesEvenly) {
    // 11 places; 22000 draws: 2000 expected, standard deviation 43, limits at 6 of them.
    std::vector<int64_t> counts(11);
    for (uint64_t batch = 0; batch < 22000; ++batch)
        ++counts.at(static_cast<size_t>(data::window_start(1, "train", batch, 0, 27, 16)));
    for (int64_t count : counts) EXPECT_NEAR(count, 2000, 260);
}

TEST(WindowStart, DependsOnEachOfItsArguments) {
    const int64_t n = int64_t{1} << 40;
    std::set<int64_t> starts = {
        data::window_start(1, "train", 0, 0, n, 8), data::window_start(2, "train", 0, 0, n, 8),
        data::window_start(1, "val", 0, 0, n, 8), data::window_start(1, "train", 1, 0, n, 8),
        data::window_start(1, "train", 0, 1, n, 8)};
    EXPECT_EQ(starts.size(), 5u);
    EXPECT_EQ(data::window_start(1, "train", 3, 4, n, 8),
              data::window_start(1, "train", 3, 4, n, 8));
}

TEST(WindowStart, ShortestFileHasOneWindow) {
    for (uint64_t batch = 0; batch < 50; ++batch)
        EXPECT_EQ(data::window_start(1, "train", batch, 0, 129, 128), 0);
    expect_error(kData, {"57", "129"}, [] { data::window_start(1, "val", 0, 0, 57, 128); });
    expect_error(kData, {"128", "129"}, [] { data::window_start(1, "val", 0, 0, 128, 128); });
}

TEST(Batches, FileShorterThanAWindowIsNamed) {
    const CountingFile file(57);
    expect_error(kData, {"train.bin: 57 tokens, need at least 129"},
                 [&] { data::make_batch(file.open(), 1, 0, 0, 1, 128); });
    expect_error(kData, {"train.bin: 57 tokens, need at least 129"},
                 [&] { data::require_window(file.open(), 128); });
}

TEST(EvalWindows, AreDisjointAscendingAndInside) {
    for (int64_t n_ctx : {1, 7, 128})
        for (int64_t n_tokens : {129, 130, 257, 1000, 98765})
            for (int64_t eval_tokens : {1, 128, 1000, 1000000}) {
                const std::vector<int64_t> starts =
                    data::eval_window_starts(n_tokens, n_ctx, eval_tokens);
                ASSERT_FALSE(starts.empty());
                EXPECT_EQ(starts.front(), 0);
                EXPECT_LE(starts.back() + n_ctx + 1, n_tokens);
                EXPECT_TRUE(std::ssize(starts) == 1 || std::ssize(starts) * n_ctx <= eval_tokens);
                for (size_t i = 1; i < starts.size(); ++i)
                    EXPECT_GE(starts[i] - starts[i - 1], n_ctx);
            }
}

TEST(EvalWindows, SpreadOverTheWholeFile) {
    const std::vector<int64_t> starts = data::eval_window_starts(100001, 100, 1000);
    ASSERT_EQ(starts.size(), 10u);
    EXPECT_EQ(starts.back(), 100001 - 1 - 100);
    EXPECT_EQ(starts[1], 11100);  // floor(99900 / 9)
}

TEST(EvalWindows, UseAllWindowsWhenTheBudgetIsLarger) {
    const std::vector<int64_t> starts = data::eval_window_starts(401, 100, 1 << 30);
    EXPECT_EQ(starts, (std::vector<int64_t>{0, 100, 200, 300}));
}

TEST(EvalWindows, TooShortAFileIsRefusedWithBothNumbers) {
    expect_error(kData, {"57 tokens", "129"}, [] { data::eval_window_starts(57, 128, 1000); });
}

TEST(EvalWindows, HashTellsStartsContextAndFileApart) {
    const std::string file(64, 'a'), other(64, 'b');
    const std::string base = data::eval_windows_sha256({0, 100}, 100, file);
    EXPECT_EQ(base, data::eval_windows_sha256({0, 100}, 100, file));
    EXPECT_NE(base, data::eval_windows_sha256({0, 101}, 100, file));
    EXPECT_NE(base, data::eval_windows_sha256({0, 100}, 99, file));
    EXPECT_NE(base, data::eval_windows_sha256({0, 100}, 100, other));
}

TEST(EvalWindows, LeaveTheTrainingStreamUntouched) {
    const CountingFile file(1000);
    const data::TokenFile tokens = file.open();
    const data::Batch before = data::make_batch(tokens, 1, 5, 0, 4, 16);
    data::read_windows(tokens, data::eval_window_starts(1000, 16, 500), 16);
    EXPECT_EQ(data::make_batch(tokens, 1, 5, 0, 4, 16).inputs, before.inputs);
}

}  // namespace
}  // namespace knlp
