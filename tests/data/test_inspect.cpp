#include "knlp/data/inspect.h"

#include "knlp/data/prepare.h"
#include "tests/data/trees.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <cmath>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

class PreparedText : public testing::Test {
protected:
    PreparedText() {
        test::write_text(dir_.file("a.txt"), "some text for the training and some for validation");
        data::make_text({dir_.file("a.txt")}, data::TextFormat::kText, {.name = "text"}, dataset());
    }
    fs::path dataset() const { return dir_.file("text-byte"); }
    void flip(const std::string& file, size_t at) {
        std::string bytes = read_file(dataset() / file);
        bytes[at] = static_cast<char>(bytes[at] ^ 1);
        write_file_atomic(dataset() / file, bytes);
    }
    test::TempDir dir_;
};

TEST(TokenStatistics, CountsAndEntropyOfKnownTokens) {
    const test::TempDir dir;
    data::write_tokens(dir.file("t.bin"), std::vector<int32_t>{5, 5, 5, 5, 9, 9, 7, 0}, 257,
                       data::TokenLayout::kPlain);
    const data::TokenStatistics s =
        data::token_statistics(data::TokenFile::open({dir.file("t.bin")}));
    EXPECT_EQ(s.tokens, 8);
    EXPECT_EQ(s.unique, 4);
    EXPECT_EQ(s.max_id, 9);
    EXPECT_NEAR(s.entropy_nats, 1.75 * std::log(2.0), 1e-12);  // 1/2, 1/4, 1/8, 1/8
}

TEST_F(PreparedText, CheckPassesOnWhatWasMade) {
    EXPECT_EQ(data::check_dataset(dataset()).size(), 4u);
}

TEST_F(PreparedText, CheckFindsEveryFlippedBitOfTheTokens) {
    const size_t size = fs::file_size(dataset() / "val.bin");
    for (size_t at = 0; at < size; ++at) {
        flip("val.bin", at);
        expect_error(kData, {"val.bin"}, [&] { data::check_dataset(dataset()); });
        flip("val.bin", at);
    }
    EXPECT_NO_THROW(data::check_dataset(dataset()));
}

TEST_F(PreparedText, CheckFindsAnotherTokenizer) {
    data::make_char_tokenizer("abc")->save(dataset());
    expect_error(kData, {"tokenizer", "SHA-256"}, [&] { data::check_dataset(dataset()); });
}

TEST_F(PreparedText, ListShowsDatasetsAndWhatIsWrongWithThem) {
    test::write_text(dir_.file("broken/meta.json"), "{}");
    test::write_text(dir_.file(".text.tmp.abc/meta.json"), "{}");
    test::write_text(dir_.file("other/readme"), "no dataset");
    const std::vector<data::ListedDataset> rows = data::list_datasets(dir_.path());
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0].directory, dir_.file("broken"));
    EXPECT_NE(rows[0].problem.find("schema"), std::string::npos);
    EXPECT_EQ(rows[1].meta.name, "text");
    EXPECT_TRUE(rows[1].problem.empty());
}

}  // namespace
}  // namespace knlp
