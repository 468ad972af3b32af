#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <nlohmann/json.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace knlp {
namespace {

using nlohmann::json;
using test::expect_error;
using test::TempDir;

TEST(ReadJson, NamesPathAndByteOfDamage) {
    const TempDir dir;
    dir.write("a.json", R"({"a": 1, "b": })");
    expect_error(kData, {dir.file("a.json"), "not valid JSON at byte 15"},
                 [&] { read_json(dir.file("a.json")); });
    dir.write("a.json", "");
    expect_error(kData, {dir.file("a.json"), "byte"}, [&] { read_json(dir.file("a.json")); });
    expect_error(kData, {"at most 3"}, [&] {
        dir.write("a.json", "[1,2]");
        read_json(dir.file("a.json"), 3);
    });
}

TEST(ParseJson, RefusesWhatStrictJsonDoesNotAllow) {
    for (const char* text :
         {"{\"a\":1,}", "[1,]", "{a:1}", "'a'", "// c\n1", "[1] 2", "nul", "01", "+1", ".5",
          "\"\x80\"", "\"\\ud800\"", "[NaN]", "[Infinity]", "\"a\nb\""})
        expect_error(kData, {"here", "not valid JSON"}, [&] { parse_json(text, "here"); });
}

TEST(ParseJson, RefusesNumbersBeyondDouble) {
    expect_error(kData, {"here", "out of range"}, [] { parse_json("[1e999]", "here"); });
}

TEST(ParseJson, RefusesAKeyThatOccursTwice) {
    expect_error(kData, {"here", "\"a\" occurs twice"},
                 [] { parse_json(R"({"a":1,"b":{"a":2},"a":3})", "here"); });
    EXPECT_NO_THROW(parse_json(R"([{"a":1},{"a":{"a":2}}])", "here"));
}

TEST(ParseJson, RefusesDeepNestingWithoutUsingTheStack) {
    const auto nested = [](size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    EXPECT_NO_THROW(parse_json(nested(150), "here"));
    expect_error(kData, {"nested deeper"}, [&] { parse_json(nested(1000000), "here"); });
    std::string objects;
    for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
    expect_error(kData, {"nested deeper"}, [&] { parse_json(objects, "here"); });
}

TEST(CanonicalJson, SortsKeysAndLeavesNoBlanks) {
    const json value = {{"b", {1, 2}},
                        {"a", "x"},
                        {"c", {{"z", nullptr}, {"y", true}}},
                        {"d", json::object()},
                        {"e", json::array()}};
    EXPECT_EQ(canonical_json(value),
              R"({"a":"x","b":[1,2],"c":{"y":true,"z":null},"d":{},"e":[]})");
}

TEST(CanonicalJson, WritesNonFiniteNumbersAsWords) {
    const double inf = std::numeric_limits<double>::infinity();
    EXPECT_EQ(canonical_json({std::nan(""), inf, -inf}), R"(["nan","inf","-inf"])");
}

TEST(CanonicalJson, FloatsAreShortestAndStayFloats) {
    EXPECT_EQ(canonical_json({0.1, 1.0, -0.0, 1e300, 5e-324, 100000.0, 6e-4}),
              "[0.1,1.0,-0.0,1e+300,5e-324,1e+05,6e-04]");
}

TEST(CanonicalJson, RandomDoublesComeBackBitForBit) {
    std::mt19937_64 random(11);
    for (int i = 0; i < 20000; ++i) {
        const double value = std::bit_cast<double>(random());
        if (!std::isfinite(value)) continue;
        const json back = parse_json(canonical_json(json(value)), "test");
        ASSERT_TRUE(back.is_number_float());
        ASSERT_EQ(std::bit_cast<uint64_t>(back.get<double>()), std::bit_cast<uint64_t>(value))
            << value;
    }
}

TEST(CanonicalJson, IntegersKeepAllDigits) {
    EXPECT_EQ(
        canonical_json({std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}),
        "[-9223372036854775808,9223372036854775807]");
    EXPECT_EQ(canonical_json(json(std::numeric_limits<uint64_t>::max())), "18446744073709551615");
}

TEST(CanonicalJson, InvalidUtf8BecomesTheReplacementCharacter) {
    EXPECT_EQ(canonical_json(json("a\xff")), "\"a\xEF\xBF\xBD\"");
}

TEST(CanonicalJson, IsOneLine) {
    EXPECT_EQ(canonical_json(json("a\nb\t\x01")), R"("a\nb\t\u0001")");
}

TEST(PrettyJson, IndentsAndKeepsNumberListsOnALine) {
    const json value = {{"a", {1, 2, 3}}, {"b", {{"c", {"x", "y"}}}}};
    EXPECT_EQ(pretty_json(value),
              "{\n  \"a\": [1, 2, 3],\n  \"b\": {\n    \"c\": [\n      \"x\",\n      \"y\"\n    "
              "]\n  }\n}\n");
}

TEST(PrettyJson, SaysTheSameAsTheCanonicalForm) {
    const json value = {{"a", {1, 2.5, "x", nullptr, {{"b", {{}, json::object()}}}}}, {"c", -3}};
    EXPECT_EQ(parse_json(pretty_json(value), "pretty"),
              parse_json(canonical_json(value), "canonical"));
}

}  // namespace
}  // namespace knlp
