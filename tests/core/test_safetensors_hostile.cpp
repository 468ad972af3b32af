// Damaged and malicious safetensors files: each rejection rule of the format, truncation, flipped
// bytes.
#include "knlp/core/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <random>

namespace knlp {
namespace {

using test::expect_error;
using test::TempDir;

std::string length_of(uint64_t n) {
    std::string text(8, '\0');
    for (size_t i = 0; i < 8; ++i) text[i] = static_cast<char>((n >> (8 * i)) & 0xff);
    return text;
}

std::string file_of(const std::string& header, size_t data_bytes) {
    return length_of(header.size()) + header + std::string(data_bytes, 'd');
}

void expect_refused(const std::string& content, std::initializer_list<std::string> parts) {
    const TempDir dir;
    dir.write("bad.safetensors", content);
    SCOPED_TRACE(content.substr(0, 300));
    const std::string text =
        expect_error(kData, parts, [&] { SafetensorsFile file(dir.file("bad.safetensors")); });
    EXPECT_NE(text.find("bad.safetensors"), std::string::npos) << text;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
    return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape +
           R"(,"data_offsets":)" + offsets + "}";
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{" + entry("w", dtype, shape, offsets) + "}";
}

TEST(SafetensorsRefuses, ShortFilesAndWrongHeaderLengths) {
    expect_refused("", {"0 bytes", "at least 8"});
    expect_refused("1234567", {"7 bytes", "at least 8"});
    expect_refused(length_of(3) + "{}", {"header of 3 bytes", "ends after 2", "truncated"});
    expect_refused(length_of(100000001) + "{}", {"100000001", "at most 100000000"});
    expect_refused(length_of(~uint64_t{0}) + "{}", {"at most 100000000"});
    expect_refused(length_of(0), {"does not start with '{'"});
}

TEST(SafetensorsRefuses, HeadersThatAreNotAnObject) {
    for (const char* header : {" {}", "[]", "1", "null", "x"})
        expect_refused(file_of(header, 0), {"does not start with '{'"});
    for (const char* header :
         {"{", "{}}", "{} x", "{\"a\":}", "{'a':1}", "{\"a\"}", "{\"\x80\":1}", "{\"a\":1,}"})
        expect_refused(file_of(header, 0), {});
}

TEST(SafetensorsRefuses, RepeatedKeysAndNames) {
    const std::string a = entry("w", "U8", "[1]", "[0,1]");
    expect_refused(file_of("{" + a + "," + a + "}", 1), {"'w' occurs twice"});
    expect_refused(file_of("{" + a + "," + entry("w", "U8", "[1]", "[1,2]") + "}", 2),
                   {"'w' occurs twice"});
    expect_refused(file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0), {"'a' occurs twice"});
    expect_refused(file_of(R"({"__metadata__":{},"__metadata__":{}})", 0),
                   {"__metadata__ occurs twice"});
    expect_refused(
        file_of(R"({"w":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
        {"'w'", "'dtype' twice"});
}

TEST(SafetensorsRefuses, NumbersThatAreNotCounts) {
    for (const char* bad : {"-1", "1.0", "1.5", "1e0", "9007199254740993", "18446744073709551616",
                            "\"1\"", "null", "true", "[1]", "{}"}) {
        expect_refused(file_of(one("U8", "[" + std::string(bad) + "]", "[0,1]"), 1), {"'w'"});
        expect_refused(file_of(one("U8", "[1]", "[0," + std::string(bad) + "]"), 1), {"'w'"});
    }
}

TEST(SafetensorsRefuses, UnknownTypesAndFields) {
    expect_refused(file_of(one("F33", "[1]", "[0,1]"), 1), {"'w'", "unknown dtype 'F33'"});
    expect_refused(file_of(one("f32", "[1]", "[0,4]"), 4), {"unknown dtype 'f32'"});
    expect_refused(file_of(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1),
                   {"unknown field 'x'"});
    expect_refused(file_of(R"({"w":{"shape":[1],"data_offsets":[0,1]}})", 1), {"'w' lacks"});
    expect_refused(file_of(R"({"w":{"dtype":"U8","data_offsets":[0,1]}})", 1), {"'w' lacks"});
    expect_refused(file_of(R"({"w":{"dtype":"U8","shape":[1]}})", 1), {"'w' lacks"});
    expect_refused(file_of(R"({"w":{}})", 0), {"'w' lacks"});
    expect_refused(file_of(R"({"w":[]})", 0), {"'w'"});
    expect_refused(file_of(R"({"w":1})", 0), {"'w'"});
    expect_refused(file_of(R"({"w":{"dtype":1,"shape":[1],"data_offsets":[0,1]}})", 1), {"'w'"});
    expect_refused(file_of(R"({"__metadata__":{"a":1}})", 0), {"does not allow"});
    expect_refused(file_of(R"({"__metadata__":{"a":{}}})", 0), {"does not allow"});
    expect_refused(file_of(R"({"__metadata__":"x"})", 0), {"does not allow"});
}

TEST(SafetensorsRefuses, OffsetsThatAreNotTwo) {
    for (const char* offsets : {"[]", "[0]", "[0,1,2]"})
        expect_refused(file_of(one("U8", "[1]", offsets), 1), {"'w'", "data_offsets"});
}

TEST(SafetensorsRefuses, ShapesThatOverflowOrDisagree) {
    expect_refused(file_of(one("F32", "[4294967296,4294967296]", "[0,4]"), 4),
                   {"'w'", "overflows"});
    expect_refused(file_of(one("F64", "[9007199254740992,1024]", "[0,8]"), 8), {"overflows"});
    expect_refused(file_of(one("F32", "[2]", "[0,4]"), 4), {"needs 8 bytes", "give 4"});
    expect_refused(file_of(one("F32", "[0]", "[0,4]"), 4), {"needs 0 bytes", "give 4"});
    expect_refused(file_of(one("F32", "[1]", "[4,0]"), 4), {"ends at 0 before it begins at 4"});
}

TEST(SafetensorsRefuses, OverlapsGapsAndWrongEnds) {
    const auto two = [](const std::string& a, const std::string& b) {
        return "{" + entry("a", "U8", "[4]", a) + "," + entry("b", "U8", "[4]", b) + "}";
    };
    expect_refused(file_of(two("[0,4]", "[2,6]"), 6), {"'b' begins at 2 inside"});
    expect_refused(file_of(two("[0,4]", "[0,4]"), 4), {"inside"});
    expect_refused(file_of(two("[0,4]", "[5,9]"), 9), {"1 unused bytes before tensor 'b'"});
    expect_refused(file_of(two("[1,5]", "[5,9]"), 9), {"1 unused bytes before tensor 'a'"});
    expect_refused(file_of(two("[0,4]", "[4,8]"), 7),
                   {"'b' needs bytes up to 8", "end at 7", "truncated"});
    expect_refused(file_of(two("[0,4]", "[4,8]"), 9), {"end at byte 8", "file at 9"});
    expect_refused(file_of("{}", 1), {"end at byte 0", "file at 1"});
}

TEST(SafetensorsRefuses, TooManyDimensions) {
    std::string shape = "[1";
    for (int i = 1; i < 16; ++i) shape += ",1";
    const TempDir dir;
    dir.write("a", file_of(one("U8", shape + "]", "[0,1]"), 1));
    EXPECT_EQ(SafetensorsFile(dir.file("a")).tensors()[0].shape.size(), 16u);
    expect_refused(file_of(one("U8", shape + ",1]", "[0,1]"), 1),
                   {"'w'", "more than 16 dimensions"});
}

TEST(SafetensorsRefuses, MoreThanAMillionTensors) {
    std::string header = "{";
    for (int i = 0; i <= 1000000; ++i)
        header += (i > 0 ? "," : "") + entry(std::to_string(i), "U8", "[0]", "[0,0]");
    expect_refused(file_of(header + "}", 0), {"more than 1000000 tensors"});
}

TEST(SafetensorsRefuses, DeepNestingCostsNoStack) {
    expect_refused(file_of("{\"a\":" + std::string(1000000, '['), 0), {"does not allow"});
    std::string objects = "{";
    for (int i = 0; i < 200000; ++i) objects += "\"a\":{";
    expect_refused(file_of(objects, 0), {"'a'"});
}

/// A small valid file with two tensors, a scalar and metadata.
std::string valid_file() {
    return file_of("{\"__metadata__\":{\"format\":\"pt\"}," +
                       entry("wte.weight", "F32", "[2,3]", "[0,24]") + "," +
                       entry("h", "BF16", "[4]", "[24,32]") + "," +
                       entry("none", "I64", "[0]", "[32,32]") + "}",
                   32);
}

TEST(SafetensorsRefuses, EveryTruncation) {
    const TempDir dir;
    const std::string whole = valid_file();
    for (size_t size = 0; size < whole.size(); ++size) {
        dir.write("bad.safetensors", whole.substr(0, size));
        expect_error(kData, {"bad.safetensors"},
                     [&] { SafetensorsFile file(dir.file("bad.safetensors")); });
    }
    dir.write("good", whole);
    EXPECT_EQ(SafetensorsFile(dir.file("good")).tensors().size(), 3u);
}

TEST(SafetensorsRefuses, FlippedBytesNeverCrashNorReachOutsideTheFile) {
    const TempDir dir;
    const std::string whole = valid_file();
    for (size_t i = 0; i < whole.size() - 32; ++i) {
        for (const int mask : {0x01, 0x90}) {
            std::string damaged = whole;
            damaged[i] = static_cast<char>(damaged[i] ^ mask);
            dir.write("f", damaged);
            try {
                const SafetensorsFile file(dir.file("f"));
                for (const TensorView& view : file.tensors()) {
                    EXPECT_GE(view.file_offset, 8);
                    EXPECT_LE(view.file_offset + std::ssize(view.bytes), std::ssize(whole));
                    for (const std::byte b : view.bytes) EXPECT_EQ(b, std::byte{'d'});
                }
            } catch (const Error& error) {
                EXPECT_EQ(error.kind(), kData);
            }
        }
    }
}

TEST(SafetensorsRefuses, RandomHeadersNeverCrash) {
    const TempDir dir;
    std::mt19937 random(17);
    const std::string alphabet =
        "{}[]\",:0123456789-.eE abdtypeshapedata_offsetsU8F32\\u__metadata__";
    for (int i = 0; i < 300; ++i) {
        std::string header = "{";
        for (size_t n = random() % 60; n > 0; --n) header += alphabet[random() % alphabet.size()];
        dir.write("f", file_of(header, random() % 10));
        try {
            const SafetensorsFile file(dir.file("f"));
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kData);
        }
    }
}

}  // namespace
}  // namespace knlp
