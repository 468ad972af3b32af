#include "knlp/bench/storage.h"

#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace knlp::bench {
namespace {

StorageRequest small_request(const std::filesystem::path& directory) {
    StorageRequest request{
        .threads = 1, .samples = 7, .copy_bytes = 1 << 20, .directory = directory};
    request.model.size = "custom";
    request.model.n_layer = 1;
    request.model.n_head = 2;
    request.model.d_model = 16;
    request.model.n_ctx = 8;
    request.model.vocab_size = 50;
    return request;
}

TEST(CheckpointBench, SavesAllTensorsAgainstAWriteOfAsManyBytes) {
    test::TempDir dir;
    const Record record = bench_checkpoint(small_request(dir.path()));
    // 50 + 8 rows of embeddings; a layer of 12 C^2 + 13 C; the final norm of 2 C. Weights and two
    // moments of 4 bytes.
    const int64_t values = (50 + 8) * 16 + 12 * 16 * 16 + 13 * 16 + 2 * 16;
    EXPECT_EQ(record.shape.at("bytes"), 3 * 4 * values);
    EXPECT_EQ(record.timing.samples_s.size(), 7u);
    EXPECT_EQ(record.rivals.at("write + fsync").samples_s.size(), 7u);
    EXPECT_LE(
        record.results.at("stall_ms"),
        1e3 * *std::max_element(record.timing.samples_s.begin(), record.timing.samples_s.end()))
        << "the stall is part of each save";
    EXPECT_DOUBLE_EQ(record.results.at("ratio"),
                     record.rivals.at("write + fsync").median_s / record.timing.median_s);
}

TEST(CheckpointBench, TheStallIsComparedWithCopiesOfAsManyBytes) {
    test::TempDir dir;
    const Record record = bench_checkpoint(small_request(dir.path()));
    EXPECT_GT(record.results.at("copy_ms"), 0);
    EXPECT_GT(record.results.at("stall_over_copy"), 0);
    EXPECT_GT(record.results.at("fresh_copy_ms"), 0);
    EXPECT_GT(record.results.at("stall_over_fresh_copy"), 0);
}

TEST(CheckpointBench, DdWritesAsManyBytesWhereThereIsOne) {
    if (std::system("dd if=/dev/zero of=/dev/null bs=1 count=1 iflag=count_bytes 2>/dev/null") != 0)
        GTEST_SKIP() << "no dd that counts bytes";
    test::TempDir dir;
    const Record record = bench_checkpoint(small_request(dir.path()));
    EXPECT_EQ(record.rivals.at("dd").samples_s.size(), 7u);
    EXPECT_DOUBLE_EQ(record.results.at("ratio_dd"),
                     record.rivals.at("dd").median_s / record.timing.median_s);
}

TEST(CheckpointBench, WithoutDdItsRatioIsLeftOut) {
    test::TempDir dir;
    const std::string path = std::getenv("PATH");
    ::setenv("PATH", dir.path().c_str(), 1);
    const Record record = bench_checkpoint(small_request(dir.path()));
    ::setenv("PATH", path.c_str(), 1);
    EXPECT_FALSE(record.rivals.contains("dd"));
    EXPECT_FALSE(record.results.contains("ratio_dd"));
}

TEST(LoadBench, OpensWhatItWrote) {
    test::TempDir dir;
    const std::vector<Record> records = bench_load(small_request(dir.path()));
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].what, "load.model");
    EXPECT_TRUE(records[0].rivals.contains("read"));
    EXPECT_EQ(records[1].what, "load.tokens");
    EXPECT_DOUBLE_EQ(records[1].results.at("tokens_per_s") * records[1].timing.median_s,
                     static_cast<double>(records[1].shape.at("tokens")));
}

TEST(StorageBench, LeavesNothingBehind) {
    test::TempDir dir;
    bench_load(small_request(dir.path()));
    bench_checkpoint(small_request(dir.path()));
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(StorageBench, RefusesWhatSaysNothingOrHasNoPlace) {
    test::TempDir dir;
    StorageRequest request = small_request(dir.path());
    request.samples = 6;
    test::expect_error(kUsage, {"6 samples", "7"}, [&] { bench_checkpoint(request); });
    test::expect_error(kRun, {"missing"},
                       [&] { bench_load(small_request(dir.path() / "missing")); });
}

}  // namespace
}  // namespace knlp::bench
