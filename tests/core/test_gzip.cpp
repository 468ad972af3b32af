#include "knlp/core/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <random>

namespace knlp {
namespace {

using test::expect_error;
using test::TempDir;

/// Compressed by gzip(1), a program of Debian's minimal system.
std::string gzip(const std::string& text) {
    const TempDir dir;
    dir.write("t", text);
    const test::Finished done = test::run_program({"gzip", "-c", dir.file("t").string()});
    EXPECT_EQ(done.status, 0) << done.err;
    return done.out;
}

std::string unpack(const std::string& packed, int64_t max_bytes = 1 << 30) {
    const TempDir dir;
    dir.write("t.gz", packed);
    return read_gzip(dir.file("t.gz"), max_bytes);
}

std::string sample_text(size_t size) {
    std::mt19937 random(7);
    std::string text;
    while (text.size() < size) text += "line " + std::to_string(random() % 1000) + "\n";
    return text;
}

TEST(Gzip, UnpacksWhatGzipPacked) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{1000}, size_t{5000000}}) {
        const std::string text = size == 0 ? "" : sample_text(size);
        EXPECT_EQ(unpack(gzip(text)), text) << size;
    }
}

TEST(Gzip, JoinsMembersAndIgnoresZeroPadding) {
    EXPECT_EQ(unpack(gzip("one ") + gzip("two")), "one two");
    EXPECT_EQ(unpack(gzip("one") + std::string(512, '\0')), "one");
}

TEST(Gzip, EveryTruncationIsRefused) {
    const std::string packed = gzip(sample_text(300));
    for (size_t size = 0; size < packed.size(); ++size)
        expect_error(kData, {"t.gz"}, [&] { unpack(packed.substr(0, size)); });
}

TEST(Gzip, FlippedBytesNeverCrashAndNeverGiveOtherText) {
    const std::string text = sample_text(300);
    const std::string packed = gzip(text);
    int refused = 0;
    for (size_t i = 0; i < packed.size(); ++i) {
        std::string damaged = packed;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
        try {
            // Only header fields without meaning for the text (time, file name) may change
            // unnoticed.
            EXPECT_EQ(unpack(damaged), text) << "byte " << i;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kData);
            ++refused;
        }
    }
    EXPECT_GT(refused, static_cast<int>(packed.size()) / 2);
}

TEST(Gzip, StopsAtTheLimit) {
    const std::string bomb = gzip(std::string(20 << 20, 'a'));
    EXPECT_LT(bomb.size(), 100000u);
    expect_error(kData, {"more than 1000000 bytes"}, [&] { unpack(bomb, 1000000); });
}

TEST(Gzip, RefusesOtherFiles) {
    expect_error(kData, {"not a gzip file"},
                 [] { unpack("plain text, long enough for a header"); });
}

}  // namespace
}  // namespace knlp
