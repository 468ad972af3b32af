#include "knlp/data/prepare.h"

#include "tests/data/trees.h"
#include "tests/support/expect_error.h"
#include "tests/support/public_data.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using config::Data;
using data::resolve_dataset;
using test::expect_error;

class Resolving : public testing::Test {
protected:
    fs::path data_dir() const { return dir_.file("data"); }
    void prepare(const std::string& directory, const std::string& tokenizer,
                 int64_t bpe_vocab = 262) {
        test::write_text(dir_.file("text.txt"), "the text the text the text the other text");
        data::make_text({dir_.file("text.txt")}, data::TextFormat::kText,
                        {.name = "x", .tokenizer = tokenizer, .bpe_vocab = bpe_vocab},
                        data_dir() / directory);
    }
    test::TempDir dir_;
};

TEST_F(Resolving, FindsTheDatasetByNameAndTokenizer) {
    prepare("shakespeare-char", "char");
    const data::Resolved found =
        resolve_dataset({.dataset = "shakespeare", .tokenizer = "char"}, data_dir(), true);
    EXPECT_EQ(found.dataset.directory, data_dir() / "shakespeare-char");
    EXPECT_EQ(found.tokenizer_directory, data_dir() / "shakespeare-char");
    EXPECT_EQ(found.wanted, "shakespeare");
    EXPECT_EQ(found.substitute, "");
}

TEST_F(Resolving, FindsTheDatasetUnderItsPlainName) {
    prepare("tinystories", "bpe", 262);
    const data::Resolved found = resolve_dataset(
        {.dataset = "tinystories", .tokenizer = "bpe", .bpe_vocab = 262}, data_dir(), true);
    EXPECT_EQ(found.dataset.meta.vocab_size, 262);
}

TEST_F(Resolving, TokensWithoutATokenizerTakeGpt2sFromTheDataDirectory) {
    const fs::path tokens = dir_.file("tokens");
    for (const char* name : {"train.bin", "val.bin"})
        test::write_text(tokens / name, std::string(64, '\0'));
    Data data{.dataset = "custom", .tokenizer = "gpt2"};
    data.custom_path = tokens.string();
    EXPECT_EQ(resolve_dataset(data, data_dir(), true).tokenizer_directory, "");
    test::write_text(data_dir() / "gpt2.tiktoken", "IQ== 0\n");
    EXPECT_EQ(resolve_dataset(data, data_dir(), true).tokenizer_directory,
              data_dir() / "gpt2.tiktoken");
    data.tokenizer = "byte";
    EXPECT_EQ(resolve_dataset(data, data_dir(), true).tokenizer_directory, "");
}

TEST_F(Resolving, PlainNameOfAnotherTokenizerIsPassedOverAndSaid) {
    prepare("shakespeare", "char");
    expect_error(
        kData, {"holds char tokens", "byte is configured", "knlp data import --name shakespeare"},
        [&] {
            resolve_dataset({.dataset = "shakespeare", .tokenizer = "byte"}, data_dir(), false);
        });
    prepare("tinystories", "bpe", 262);
    expect_error(kData, {"vocabulary of 262", "263"}, [&] {
        resolve_dataset({.dataset = "tinystories", .tokenizer = "bpe", .bpe_vocab = 263},
                        data_dir(), false);
    });
}

TEST_F(Resolving, MissingDatasetNamesTheCommandThatMakesIt) {
    for (const char* name : {"shakespeare", "finewebedu", "openwebtext", "tinystories"})
        expect_error(
            kData, {name, data_dir().string(), std::string("knlp data import --name ") + name},
            [&] { resolve_dataset({.dataset = name, .tokenizer = "gpt2"}, data_dir(), false); });
}

TEST_F(Resolving, StrictRefusesTheSubstitute) {
    expect_error(kData, {"finewebedu", "knlp data import", "STRICT=1 allows no substitute"}, [&] {
        resolve_dataset({.dataset = "finewebedu", .tokenizer = "gpt2", .allow_substitute = true},
                        data_dir(), true);
    });
    EXPECT_FALSE(fs::exists(data_dir()));
}

TEST_F(Resolving, SubstituteIsTheDefaultTextWithATrainedBpe) {
    if (data::find_linuxdoc().empty()) GTEST_SKIP() << "linux-doc is not installed";
    const Data wanted{
        .dataset = "finewebedu", .tokenizer = "gpt2", .bpe_vocab = 600, .allow_substitute = true};
    const data::Resolved found = resolve_dataset(wanted, data_dir(), false);
    EXPECT_EQ(found.dataset.meta.name, "linuxdoc");
    EXPECT_EQ(found.dataset.meta.tokenizer, "bpe");
    EXPECT_EQ(found.dataset.meta.vocab_size, 600);
    EXPECT_EQ(found.wanted, "finewebedu");
    for (const char* part : {"finewebedu", "linuxdoc", "600", "knlp data import"})
        EXPECT_NE(found.substitute.find(part), std::string::npos) << part;
    const fs::file_time_type made = fs::last_write_time(data_dir() / "linuxdoc-bpe600/meta.json");
    resolve_dataset(wanted, data_dir(), false);
    EXPECT_EQ(fs::last_write_time(data_dir() / "linuxdoc-bpe600/meta.json"), made);
}

TEST_F(Resolving, LinuxdocIsMadeFromTheInstalledPackage) {
    if (data::find_linuxdoc().empty()) GTEST_SKIP() << "linux-doc is not installed";
    const data::Resolved found =
        resolve_dataset({.dataset = "linuxdoc", .tokenizer = "byte"}, data_dir(), true);
    EXPECT_EQ(found.dataset.directory, data_dir() / "linuxdoc-byte");
    EXPECT_EQ(found.substitute, "");
    EXPECT_FALSE(found.dataset.meta.package_version.empty());
}

TEST_F(Resolving, Gpt2TokenizerComesFromTheDataDirectory) {
    KNLP_NEEDS_PUBLIC_DATA();
    if (data::find_linuxdoc().empty()) GTEST_SKIP() << "linux-doc is not installed";
    expect_error(kData, {"gpt2", "vocab.json", "gpt2.tiktoken"}, [&] {
        resolve_dataset({.dataset = "linuxdoc", .tokenizer = "gpt2"}, data_dir(), false);
    });
    fs::create_directories(data_dir());
    fs::copy_file(test::public_data() / "gpt2.tiktoken", data_dir() / "gpt2.tiktoken");
    EXPECT_EQ(data::find_gpt2_tokenizer(data_dir()), data_dir() / "gpt2.tiktoken");
    const data::Resolved found =
        resolve_dataset({.dataset = "linuxdoc", .tokenizer = "gpt2"}, data_dir(), true);
    EXPECT_EQ(found.dataset.meta.vocab_size, 50257);
}

TEST_F(Resolving, SyntheticFallbackSaysWhatItStandsInFor) {
    const Data wanted{.dataset = "openwebtext", .tokenizer = "gpt2", .synthetic_fallback = true};
    const data::Resolved found = resolve_dataset(wanted, data_dir(), false);
    EXPECT_TRUE(found.dataset.meta.synthetic);
    EXPECT_NE(found.substitute.find("openwebtext"), std::string::npos);
    expect_error(kData, {"STRICT=1"}, [&] { resolve_dataset(wanted, data_dir(), true); });
}

TEST_F(Resolving, SyntheticIsMadeWhenAskedFor) {
    const data::Resolved found =
        resolve_dataset({.dataset = "synthetic", .tokenizer = "byte"}, data_dir(), true);
    EXPECT_TRUE(found.dataset.meta.synthetic);
    EXPECT_EQ(found.substitute, "");
}

TEST_F(Resolving, CustomTextFileIsPreparedOncePerContent) {
    test::write_text(dir_.file("mine.txt"), "a text of my own, long enough for both parts");
    const Data wanted{
        .dataset = "custom", .custom_path = dir_.file("mine.txt"), .tokenizer = "byte"};
    const data::Resolved first = resolve_dataset(wanted, data_dir(), true);
    EXPECT_EQ(first.dataset.meta.name, "mine");
    EXPECT_EQ(resolve_dataset(wanted, data_dir(), true).dataset.directory, first.dataset.directory);
    test::write_text(dir_.file("mine.txt"), "another text of my own, long enough for both parts");
    EXPECT_NE(resolve_dataset(wanted, data_dir(), true).dataset.directory, first.dataset.directory);
}

TEST_F(Resolving, CustomDirectoryIsTakenAsItIs) {
    prepare("mine", "byte");
    const data::Resolved found = resolve_dataset(
        {.dataset = "custom", .custom_path = data_dir() / "mine", .tokenizer = "byte"}, data_dir(),
        true);
    EXPECT_EQ(found.dataset.directory, data_dir() / "mine");
    EXPECT_EQ(found.dataset.meta.tokenizer, "byte");
}

TEST_F(Resolving, CustomDirectoryOfAnotherTokenizerIsRefused) {
    prepare("mine", "byte");
    expect_error(kData, {"holds byte tokens", "gpt2 is configured", "GPT2_TOKENIZER"}, [&] {
        resolve_dataset(
            {.dataset = "custom", .custom_path = data_dir() / "mine", .tokenizer = "gpt2"},
            data_dir(), false);
    });
    prepare("pairs", "bpe", 262);
    expect_error(kData, {"vocabulary of 262", "8192 is configured", "GPT2_BPE_VOCAB"}, [&] {
        resolve_dataset(
            {.dataset = "custom", .custom_path = data_dir() / "pairs", .tokenizer = "bpe"},
            data_dir(), false);
    });
}

TEST_F(Resolving, CustomDirectoryOfTextsIsPreparedOncePerContent) {
    test::write_text(dir_.file("texts/a.txt"), "the first text, long enough for both parts");
    test::write_text(dir_.file("texts/sub/b.txt"), "the second text");
    Data wanted{.dataset = "custom", .tokenizer = "byte"};
    wanted.custom_path = dir_.file("texts").string() + "/";
    const data::Resolved first = resolve_dataset(wanted, data_dir(), true);
    EXPECT_EQ(first.dataset.meta.name, "texts");
    EXPECT_EQ(first.dataset.meta.sources.size(), 2u);
    EXPECT_EQ(resolve_dataset(wanted, data_dir(), true).dataset.directory, first.dataset.directory);
    test::write_text(dir_.file("texts/sub/b.txt"), "the other text.");
    const fs::path edited = resolve_dataset(wanted, data_dir(), true).dataset.directory;
    EXPECT_NE(edited, first.dataset.directory);
    fs::rename(dir_.file("texts/sub/b.txt"), dir_.file("texts/0.txt"));  // now it comes first
    EXPECT_NE(resolve_dataset(wanted, data_dir(), true).dataset.directory, edited);
}

TEST_F(Resolving, WrongCustomPathIsNamedWithItsSymbol) {
    expect_error(kConfig, {"GPT2_CUSTOM_DATASET_PATH", "empty"},
                 [&] { resolve_dataset({.dataset = "custom"}, data_dir(), false); });
    expect_error(kData, {"absent.txt", "GPT2_CUSTOM_DATASET_PATH"}, [&] {
        resolve_dataset({.dataset = "custom", .custom_path = dir_.file("absent.txt")}, data_dir(),
                        false);
    });
    fs::create_directories(dir_.file("empty"));
    expect_error(kData, {"empty", "no file in this directory"}, [&] {
        resolve_dataset({.dataset = "custom", .custom_path = dir_.file("empty")}, data_dir(),
                        false);
    });
    test::write_text(dir_.file("half/val.bin"), "abcd");
    expect_error(kData, {"half", "no train.bin", "GPT2_CUSTOM_DATASET_PATH"}, [&] {
        resolve_dataset({.dataset = "custom", .custom_path = dir_.file("half")}, data_dir(), false);
    });
}

TEST_F(Resolving, EditedDatasetIsRefusedThoughItsLengthIsTheSame) {
    prepare("shakespeare-byte", "byte");
    const fs::path train = data_dir() / "shakespeare-byte/train.bin";
    std::string bytes = read_file(train);
    bytes[0] = static_cast<char>(bytes[0] ^ 1);
    test::write_text(train, bytes);
    expect_error(kData, {"train.bin: SHA-256", "sha256.train", "make the dataset again"}, [&] {
        resolve_dataset({.dataset = "shakespeare", .tokenizer = "byte"}, data_dir(), false);
    });
}

TEST_F(Resolving, DamagedDatasetIsAnErrorNotASubstitute) {
    prepare("finewebedu-byte", "byte");
    write_file_atomic(data_dir() / "finewebedu-byte/train.bin", "odd");
    expect_error(kData, {"train.bin", "3 bytes"}, [&] {
        resolve_dataset({.dataset = "finewebedu", .tokenizer = "byte", .allow_substitute = true},
                        data_dir(), false);
    });
}

}  // namespace
}  // namespace knlp
