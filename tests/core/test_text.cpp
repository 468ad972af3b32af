#include "knlp/core/text.h"

#include <gmock/gmock-matchers.h>

#include <limits>

namespace {

using namespace knlp;
using testing::ElementsAre;

TEST(Text, DurationsUseTheUnitsPeopleUse) {
    EXPECT_EQ(duration_text(0), "0 ms");
    EXPECT_EQ(duration_text(0.85), "850 ms");
    EXPECT_EQ(duration_text(0.9996), "1.0 s");
    EXPECT_EQ(duration_text(3.24), "3.2 s");
    EXPECT_EQ(duration_text(59.97), "1 min 00 s");
    EXPECT_EQ(duration_text(250), "4 min 10 s");
    EXPECT_EQ(duration_text(3900), "1 h 05 min");
    EXPECT_EQ(duration_text(2 * 86400 + 3 * 3600), "2 d 03 h");
    for (const double unknown : {-1.0, 1e300, std::numeric_limits<double>::quiet_NaN()})
        EXPECT_EQ(duration_text(unknown), "unknown");
}

TEST(Text, PartsOfAListAreThereWhenTheyAreEmptyToo) {
    EXPECT_THAT(split("a,b c,,d,", ','), ElementsAre("a", "b c", "", "d", ""));
    EXPECT_THAT(split("one", ' '), ElementsAre("one"));
    EXPECT_THAT(split("", ','), ElementsAre(""));
}

}  // namespace
