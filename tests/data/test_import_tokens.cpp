#include "knlp/data/prepare.h"

#include "tests/data/trees.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <numeric>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using data::TokenLayout;
using test::expect_error;

class TokenImport : public testing::Test {
protected:
    fs::path write(const std::string& name, int32_t first, int32_t n,
                   TokenLayout layout = TokenLayout::kPlain, int64_t vocab_size = 65536) {
        std::vector<int32_t> ids(static_cast<size_t>(n));
        std::iota(ids.begin(), ids.end(), first);
        fs::create_directories(dir_.file(name).parent_path());
        data::write_tokens(dir_.file(name), ids, vocab_size, layout);
        return dir_.file(name);
    }
    data::DatasetMeta import(const std::vector<fs::path>& files, data::PrepareOptions options,
                             int64_t width = 2, bool llmc = false, int64_t vocab = 0) {
        options.name = "imported";
        options.force = true;
        return data::make_from_tokens(files, width, llmc, vocab, options, dir_.file("out"));
    }
    std::vector<int64_t> read(const data::TokenFile& file) const {
        std::vector<int64_t> ids(static_cast<size_t>(file.size()));
        file.read(0, ids);
        return ids;
    }
    test::TempDir dir_;
};

TEST_F(TokenImport, FilesNamedValAreValidation) {
    const fs::path train = write("train.bin", 0, 20), val = write("val.bin", 100, 5);
    const data::DatasetMeta meta = import({val, train}, {.tokenizer = "gpt2"});
    EXPECT_EQ(meta.train_tokens, 20);
    EXPECT_EQ(meta.val_tokens, 5);
    EXPECT_EQ(meta.vocab_size, 50257);
    EXPECT_EQ(meta.eot, 50256);
    const data::Dataset dataset = data::open_dataset(dir_.file("out"));
    EXPECT_EQ(read(dataset.val), (std::vector<int64_t>{100, 101, 102, 103, 104}));
}

TEST_F(TokenImport, TailIsValidationWhenNoFileIs) {
    const data::DatasetMeta meta =
        import({write("all.bin", 0, 20)}, {.tokenizer = "byte", .val_fraction = 0.25});
    EXPECT_EQ(meta.train_tokens, 15);
    EXPECT_EQ(meta.val_tokens, 5);
    EXPECT_EQ(meta.train_bytes, 15);
}

TEST_F(TokenImport, DirectoryOfLlmcShardsIsJoinedInOrder) {
    write("edu/edu_train_000001.bin", 10, 10, TokenLayout::kLlmc);
    write("edu/edu_train_000000.bin", 0, 10, TokenLayout::kLlmc);
    write("edu/edu_val_000000.bin", 50, 4, TokenLayout::kLlmc);
    import({dir_.file("edu")}, {.tokenizer = "gpt2"}, 2, true);
    std::vector<int64_t> expected(20);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(read(data::open_dataset(dir_.file("out")).train), expected);
}

TEST_F(TokenImport, ThirtyTwoBitTokensStayWide) {
    const fs::path train = write("train.bin", 99990, 10, TokenLayout::kPlain, 100000),
                   val = write("val.bin", 70000, 10, TokenLayout::kPlain, 100000);
    const data::DatasetMeta meta = import({train, val}, {.tokenizer = "bpe"}, 4);
    EXPECT_EQ(meta.dtype, "uint32");
    EXPECT_EQ(meta.vocab_size, 100000);
    EXPECT_EQ(read(data::open_dataset(dir_.file("out")).train).front(), 99990);
}

TEST_F(TokenImport, IdOutsideTheVocabularyIsRefused) {
    const fs::path file = write("all.bin", 250, 20);
    expect_error(kData, {"all.bin: token 257 at position 7 is outside vocabulary 257"},
                 [&] { import({file}, {.tokenizer = "byte"}); });
    expect_error(kData, {"token 260", "vocabulary 260"},
                 [&] { import({file}, {.tokenizer = "char"}, 2, false, 260); });
    EXPECT_FALSE(fs::exists(dir_.file("out")));
}

TEST_F(TokenImport, HeaderlessFileIsNotLlmc) {
    const fs::path file = write("all.bin", 0, 20);
    expect_error(kData, {"all.bin", "20240520", "--format tokens"},
                 [&] { import({file}, {.tokenizer = "byte"}, 2, true); });
}

TEST_F(TokenImport, ValidationAloneIsRefused) {
    const fs::path file = write("val.bin", 0, 20);
    expect_error(kData, {"val.bin", "training"}, [&] { import({file}, {.tokenizer = "byte"}); });
}

TEST_F(TokenImport, GivenVocabularyMustBeTheTokenizers) {
    const fs::path file = write("all.bin", 0, 20);
    expect_error(kUsage, {"300", "257"},
                 [&] { import({file}, {.tokenizer = "byte"}, 2, false, 300); });
}

}  // namespace
}  // namespace knlp
