#include "knlp/matrix/pilot.h"

#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

namespace knlp::matrix {
namespace {

using test::expect_error;
using testing::ElementsAre;

TEST(Pilot, IsOneDifferenceALine) {
    const test::TempDir dir;
    const Pilot pilot = read_pilot(dir.write("p", "# arm - baseline\n-1\n +5e-1 # two\n\n2\r\n1"));
    EXPECT_THAT(pilot.differences, ElementsAre(-1, 0.5, 2, 1));
    EXPECT_EQ(pilot.mean, 0.625);
    EXPECT_TRUE(pilot.dropped.empty());
}

TEST(Pilot, WhatIsNoNumberIsNamedByItsLine) {
    const test::TempDir dir;
    const auto refuses = [&](const std::string& text, std::initializer_list<std::string> parts) {
        expect_error(kData, parts, [&] { read_pilot(dir.write("p", text)); });
    };
    refuses("0.1\n# two\nzero\n", {"p:3: 'zero' is not a number", "one difference a line"});
    refuses("0.1\nnan\n", {"p:2: 'nan'"});
    refuses("0.1\ninf\n", {"p:2: 'inf'"});
    refuses("0.1 0.2\n", {"p:1: '0.1 0.2'"});
    refuses("1\n" + std::string(5000, 'x'), {"p:2: '" + std::string(40, 'x') + "'"});
    refuses(std::string("1\n\0\n2", 6), {"p:2: "});
}

TEST(Pilot, NeedsASpread) {
    const test::TempDir dir;
    const auto refuses = [&](const std::string& text, const std::string& part) {
        expect_error(kData, {part}, [&] { read_pilot(dir.write("p", text)); });
    };
    refuses("", "0 paired differences; a spread needs at least two");
    refuses("0.1\n", "1 paired difference;");
    refuses("0.1\n0.1\n", "standard deviation of the differences is 0");
    refuses("1e308\n-1e308\n", "standard deviation of the differences is inf");
}

}  // namespace
}  // namespace knlp::matrix
