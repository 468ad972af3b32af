#include "knlp/data/documents.h"
#include "knlp/data/token_file.h"

#include "tests/support/temp_dir.h"

#include <gmock/gmock-more-matchers.h>
#include <gtest/gtest.h>

namespace knlp::data {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int32_t kEnd = 256;

std::vector<int64_t> documents(const std::vector<int32_t>& ids, const std::vector<int64_t>& starts,
                               int64_t eot = kEnd) {
    const test::TempDir dir;
    write_tokens(dir.file("val.bin"), ids, 257, TokenLayout::kPlain);
    return window_documents(TokenFile::open({dir.file("val.bin")}), starts, eot);
}

TEST(WindowDocuments, CountTheEndsOfTextBeforeAStart) {
    // An end of text belongs to the document that it ends.
    EXPECT_THAT(documents({1, 2, kEnd, 3, kEnd, kEnd, 4, 5}, {0, 2, 3, 4, 6, 7}),
                ElementsAre(0, 0, 1, 1, 3, 3));
}

TEST(WindowDocuments, AreNotKnownWithoutAnEndOfText) {
    EXPECT_THAT(documents({1, 2, 3, 4}, {0, 2}), IsEmpty());
    EXPECT_THAT(documents({1, kEnd, 3, 4}, {0, 2}, -1), IsEmpty());
    EXPECT_THAT(documents({1, 2, 3, kEnd}, {0, 2}), IsEmpty());
}

TEST(WindowDocuments, OfALongFileAreThoseOfItsParts) {
    std::vector<int32_t> ids(3'000'000, 7);
    for (const size_t end : {size_t{10}, size_t{1'048'575}, size_t{1'048'576}, size_t{2'500'000}})
        ids[end] = kEnd;
    EXPECT_THAT(documents(ids, {0, 1'048'575, 1'048'576, 1'048'577, 2'999'000}),
                ElementsAre(0, 1, 2, 3, 4));
}

}  // namespace
}  // namespace knlp::data
