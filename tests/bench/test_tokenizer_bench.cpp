#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <fstream>

#include "knlp/bench/bench.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace knlp::bench {

TEST(TokenizerBench, MeasuresTrainingEncodingAndDecoding) {
    test::TempDir dir;
    std::ofstream file(dir.path() / "text.txt");
    for (int i = 0; i < 200; ++i)
        file << "the driver registers the device with the core " << i << "\n";
    file.close();
    const std::vector<Record> records =
        bench_tokenizer({.texts = {dir.path()}, .merges = 40, .threads = 1, .samples = 7});
    ASSERT_EQ(records.size(), 3u);
    EXPECT_EQ(records[0].what, "bpe.train");
    EXPECT_EQ(records[1].what, "bpe.encode");
    EXPECT_EQ(records[2].what, "bpe.decode");
    EXPECT_EQ(records[1].shape.at("vocab_size"), 256 + 40 + 1);
    EXPECT_GT(records[1].results.at("bytes_per_token"), 1.5) << "40 merges must shorten this text";
    EXPECT_GT(records[1].results.at("mb_per_s"), 0);
    EXPECT_GT(records[1].results.at("first_pass_s"), 0);
}

TEST(TokenizerBench, ReadsNoMoreTextThanAsked) {
    test::TempDir dir;
    std::ofstream(dir.path() / "a.txt") << std::string(600, 'a');
    std::ofstream(dir.path() / "b.txt") << std::string(600, 'b');
    const std::vector<Record> records = bench_tokenizer(
        {.texts = {dir.path()}, .merges = 3, .threads = 1, .samples = 7, .max_bytes = 1000});
    EXPECT_EQ(records[0].shape.at("bytes"), 1000);
}

TEST(TokenizerBench, RefusesEmptyText) {
    test::TempDir dir;
    std::ofstream(dir.path() / "empty.txt");
    test::expect_error(kData, {"no text", "--text"},
                       [&] { bench_tokenizer({.texts = {dir.path()}}); });
}

TEST(DataBench, LoadsBatchesOfTheAskedShape) {
    StepRequest request{.batch = 4, .samples = 7};
    request.model.n_ctx = 64;
    request.model.vocab_size = 257;
    const Record record = bench_data(request);
    EXPECT_EQ(record.shape.at("batch"), 4);
    EXPECT_EQ(record.shape.at("n_ctx"), 64);
    EXPECT_EQ(record.bytes_moved, 4 * 64 * 18);
    EXPECT_EQ(record.types.at("tokens"), "random");
}

}  // namespace knlp::bench
