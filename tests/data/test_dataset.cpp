#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/data/token_file.h"
#include "knlp/data/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using data::TokenLayout;
using nlohmann::json;
using test::expect_error;

const std::vector<int32_t> kTrain = {72, 101, 108, 108, 111, 256}, kVal = {104, 105, 256};

/// A dataset directory as knlp writes it.
class PreparedDataset : public testing::Test {
protected:
    PreparedDataset() {
        data::write_tokens(dir_.file("train.bin"), kTrain, 257, TokenLayout::kPlain);
        data::write_tokens(dir_.file("val.bin"), kVal, 257, TokenLayout::kPlain);
        data::DatasetMeta meta{.name = "greeting", .tokenizer = "byte"};
        meta.tokenizer_sha256 = data::make_byte_tokenizer()->sha256();
        meta.vocab_size = 257;
        meta.eot = 256;
        meta.train_tokens = 6;
        meta.val_tokens = 3;
        meta.train_bytes = 5;
        meta.val_bytes = 2;
        meta.train_sha256 = sha256_file(dir_.file("train.bin"));
        meta.val_sha256 = sha256_file(dir_.file("val.bin"));
        meta.entropy_nats = 1.25;
        meta.package_version = "6.1";
        meta.sources = {{.path = "a.txt", .sha256 = std::string(64, 'a'), .bytes = 7}};
        data::write_dataset_meta(sidecar(), meta);
    }
    fs::path sidecar() const { return dir_.file("meta.json"); }
    /// Writes the sidecar with one change and expects the error.
    void refuse(const std::function<void(json&)>& change,
                std::initializer_list<std::string> parts) {
        const std::string good = read_file(sidecar());
        json meta = json::parse(good);
        change(meta);
        write_file_atomic(sidecar(), meta.dump());
        expect_error(kData, parts, [&] { data::open_dataset(dir_.path()); });
        write_file_atomic(sidecar(), good);
    }
    test::TempDir dir_;
};

TEST_F(PreparedDataset, SidecarRoundTrips) {
    const data::Dataset dataset = data::open_dataset(dir_.path());
    EXPECT_EQ(dataset.meta.name, "greeting");
    EXPECT_EQ(dataset.meta.tokenizer, "byte");
    EXPECT_EQ(dataset.meta.vocab_size, 257);
    EXPECT_EQ(dataset.meta.eot, 256);
    EXPECT_EQ(dataset.meta.train_bytes, 5);
    EXPECT_EQ(dataset.meta.entropy_nats, 1.25);
    EXPECT_EQ(dataset.meta.package_version, "6.1");
    ASSERT_EQ(dataset.meta.sources.size(), 1u);
    EXPECT_EQ(dataset.meta.sources[0].path, "a.txt");
    EXPECT_EQ(dataset.train.size(), 6);
    EXPECT_EQ(dataset.val.size(), 3);
}

TEST_F(PreparedDataset, EveryRequiredKeyIsMissedByName) {
    for (const char* key : {"schema", "name", "tokenizer", "vocab_size", "dtype", "eot", "n_tokens",
                            "n_bytes", "sha256"})
        refuse([&](json& meta) { meta.erase(key); },
               {"meta.json", std::string("'") + key + "'", "missing"});
    refuse([](json& meta) { meta["n_tokens"].erase("val"); }, {"'n_tokens.val'", "missing"});
}

TEST_F(PreparedDataset, WrongValuesAreNamedWithWhatIsExpected) {
    refuse([](json& meta) { meta["schema"] = 9; }, {"schema 9"});
    refuse([](json& meta) { meta["vocab_size"] = 0; }, {"'vocab_size' is 0", "1.."});
    refuse([](json& meta) { meta["vocab_size"] = 1e300; }, {"'vocab_size'", "integer"});
    refuse([](json& meta) { meta["vocab_size"] = "257"; }, {"'vocab_size'", "integer"});
    refuse([](json& meta) { meta["eot"] = 257; }, {"'eot' is 257", "-1..256"});
    refuse([](json& meta) { meta["dtype"] = "float"; }, {"'dtype'", "uint16"});
    refuse([](json& meta) { meta["n_tokens"] = 5; }, {"n_tokens", "object"});
    refuse([](json& meta) { meta["n_bytes"]["train"] = -1; }, {"'n_bytes.train'"});
    refuse([](json& meta) { meta["sha256"]["train"] = "xyz"; }, {"'sha256.train'", "hexadecimal"});
    refuse([](json& meta) { meta["synthetic"] = 1; }, {"'synthetic'", "true or false"});
    refuse([](json& meta) { meta["entropy_nats"] = -2; }, {"'entropy_nats'"});
    refuse([](json& meta) { meta["source"] = "a"; }, {"'source'", "array"});
    refuse([](json& meta) { meta["source"][0].erase("bytes"); }, {"source[0].bytes"});
    refuse([](json& meta) { meta = json::array(); }, {"meta.json", "object"});
}

TEST_F(PreparedDataset, CountThatDiffersFromTheFileIsRefused) {
    refuse([](json& meta) { meta["n_tokens"]["train"] = 7; },
           {"train.bin: 6 tokens", "n_tokens.train = 7"});
    write_file_atomic(dir_.file("val.bin"), read_file(dir_.file("val.bin")).substr(0, 4));
    expect_error(kData, {"val.bin: 2 tokens", "= 3"}, [&] { data::open_dataset(dir_.path()); });
}

TEST_F(PreparedDataset, TokensThatChangedAtTheSameLengthAreRefusedWithBothHashes) {
    const std::string made = sha256_file(dir_.file("train.bin"));
    data::write_tokens(dir_.file("train.bin"), std::vector<int32_t>{72, 101, 108, 108, 112, 256},
                       257, TokenLayout::kPlain);
    expect_error(kData,
                 {"train.bin: SHA-256 " + sha256_file(dir_.file("train.bin")),
                  "sha256.train = " + made, "make the dataset again"},
                 [&] { data::open_dataset(dir_.path()); });
}

TEST_F(PreparedDataset, DamagedSidecarIsNamed) {
    const std::string good = read_file(sidecar());
    for (size_t size = 0; size + 2 < good.size(); size += 13) {
        write_file_atomic(sidecar(), good.substr(0, size));
        expect_error(kData, {"meta.json"}, [&] { data::open_dataset(dir_.path()); });
    }
}

TEST_F(PreparedDataset, OfAnotherTokenizerIsRefused) {
    expect_error(kData, {"'byte'", "'gpt2'"}, [&] { data::open_dataset(dir_.path(), "gpt2"); });
}

TEST_F(PreparedDataset, MissingSplitIsNamed) {
    fs::remove(dir_.file("val.bin"));
    expect_error(kData, {"val.bin", "knlp data"}, [&] { data::open_dataset(dir_.path()); });
}

TEST(ForeignDataset, NanoGptDirectoryNeedsItsTokenizerNamed) {
    const test::TempDir dir;
    data::write_tokens(dir.file("train.bin"), kTrain, 257, TokenLayout::kPlain);
    data::write_tokens(dir.file("val.bin"), kVal, 257, TokenLayout::kPlain);
    expect_error(kData, {"meta.json", "--tokenizer"}, [&] { data::open_dataset(dir.path()); });
    const data::Dataset dataset = data::open_dataset(dir.path(), "byte");
    EXPECT_EQ(dataset.meta.vocab_size, 257);
    EXPECT_EQ(dataset.meta.train_tokens, 6);
    EXPECT_EQ(dataset.meta.train_sha256, sha256_file(dir.file("train.bin")));
}

TEST(ForeignDataset, VocabularyComesFromTheLargestIdWhenNothingElseSays) {
    const test::TempDir dir;
    data::write_tokens(dir.file("train.bin"), std::vector<int32_t>{1, 64, 2}, 65,
                       TokenLayout::kPlain);
    data::write_tokens(dir.file("val.bin"), std::vector<int32_t>{1, 3}, 65, TokenLayout::kPlain);
    EXPECT_EQ(data::open_dataset(dir.path(), "char").meta.vocab_size, 65);
}

TEST(ForeignDataset, LlmcShardsAreFoundAndJoined) {
    const test::TempDir dir;
    data::write_tokens(dir.file("edu_train_000002.bin"), std::vector<int32_t>{3, 4}, 50257,
                       TokenLayout::kLlmc);
    data::write_tokens(dir.file("edu_train_000001.bin"), std::vector<int32_t>{1, 2}, 50257,
                       TokenLayout::kLlmc);
    data::write_tokens(dir.file("edu_val_000000.bin"), std::vector<int32_t>{9, 8}, 50257,
                       TokenLayout::kLlmc);
    const data::Dataset dataset = data::open_dataset(dir.path(), "gpt2");
    std::vector<int64_t> train(4);
    dataset.train.read(0, train);
    EXPECT_EQ(train, (std::vector<int64_t>{1, 2, 3, 4}));
    EXPECT_EQ(dataset.meta.vocab_size, 50257);
    EXPECT_EQ(dataset.meta.eot, 50256);
}

TEST(ForeignDataset, MissingDirectoryIsNamed) {
    expect_error(kData, {"/nonexistent/data", "knlp data list"},
                 [] { data::open_dataset("/nonexistent/data"); });
}

}  // namespace
}  // namespace knlp
