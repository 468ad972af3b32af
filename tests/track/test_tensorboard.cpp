#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/track/tensorboard.h"
#include "tests/support/public_data.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <bit>
#include <cstring>

namespace knlp::track {
namespace {

namespace fs = std::filesystem;
using test::TempDir;

fs::path only_file(const fs::path& directory) {
    EXPECT_EQ(std::distance(fs::directory_iterator(directory), fs::directory_iterator()), 1);
    return fs::directory_iterator(directory)->path();
}

template <class T>
T number_at(std::string_view bytes, size_t at) {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

/// CRC-32C bit by bit and the mask of the TFRecord format, apart from the code under test.
uint32_t masked_crc(std::string_view bytes) {
    uint32_t crc = ~0u;
    for (const char c : bytes) {
        crc ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0x82F63B78u : 0u);
    }
    crc = ~crc;
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/// Payloads of all records; both checksums of each are compared.
std::vector<std::string> records_of(const std::string& file) {
    std::vector<std::string> payloads;
    for (size_t at = 0; at < file.size();) {
        EXPECT_LE(at + 16, file.size());
        const size_t length = number_at<uint64_t>(file, at);
        EXPECT_EQ(number_at<uint32_t>(file, at + 8),
                  masked_crc(std::string_view(file).substr(at, 8)));
        payloads.push_back(file.substr(at + 12, length));
        EXPECT_EQ(number_at<uint32_t>(file, at + 12 + length), masked_crc(payloads.back()));
        at += 16 + length;
    }
    return payloads;
}

TEST(Tensorboard, NameHoldsTimeAndProcess) {
    const TempDir dir;
    { const TensorboardWriter writer(dir.path()); }
    EXPECT_THAT(only_file(dir.path()).filename().string(),
                testing::MatchesRegex("events\\.out\\.tfevents\\.[0-9]+\\.knlp\\.[0-9]+\\.0"));
}

TEST(Tensorboard, FirstRecordNamesTheFormat) {
    const TempDir dir;
    { const TensorboardWriter writer(dir.path()); }
    const std::vector<std::string> records = records_of(read_file(only_file(dir.path())));
    ASSERT_EQ(records.size(), 1u);
    // Field 1, double: key 0x09; field 3, string of 13: key 0x1a.
    ASSERT_EQ(records[0].size(), 9u + 2 + 13);
    EXPECT_EQ(records[0][0], '\x09');
    EXPECT_EQ(records[0].substr(9), std::string("\x1a\x0d") + "brain.Event:2");
}

// Encoded by hand from the protobuf wire format: wall_time 2.0, step 300, one value "loss" = 1.5.
TEST(Tensorboard, ScalarRecordMatchesTheHandEncodedBytes) {
    const TempDir dir;
    {
        TensorboardWriter writer(dir.path());
        writer.add(300, 2.0, {{"loss", 1.5}});
    }
    const std::vector<std::string> records = records_of(read_file(only_file(dir.path())));
    ASSERT_EQ(records.size(), 2u);
    const std::string value =
        std::string("\x0a\x04loss\x15", 7) + std::string("\x00\x00\xc0\x3f", 4);
    const std::string summary = std::string("\x0a\x0b", 2) + value;
    const std::string expected = std::string("\x09\x00\x00\x00\x00\x00\x00\x00\x40", 9) +
                                 std::string("\x10\xac\x02", 3) + std::string("\x2a\x0d", 2) +
                                 summary;
    EXPECT_EQ(records[1], expected);
}

TEST(Tensorboard, AFailureWarnsAndDoesNotThrow) {
    EXPECT_NO_THROW({
        TensorboardWriter writer("/no/such/directory");
        writer.add(1, 1.0, {{"a", 1}});
    });
}

TEST(Tensorboard, AnEventIsInTheFileOnceItIsAdded) {
    test::TempDir dir;
    TensorboardWriter writer(dir.path());
    writer.add(1, 1.0, {{"a", 1}});
    EXPECT_EQ(records_of(read_file(only_file(dir.path()))).size(), 2u);
}

constexpr const char* kReader = R"(
import sys, json
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
out = []
for e in EventFileLoader(sys.argv[1]).Load():
    for v in (e.summary.value if e.HasField("summary") else []):
        t = v.tensor.float_val[0] if v.HasField("tensor") else v.simple_value
        out.append([v.tag, e.step, repr(float(t)), e.wall_time])
print(json.dumps(out))
)";

TEST(TensorboardPeer, TensorBoardReadsEveryTagStepAndValue) {
    KNLP_NEEDS_PEERS();
    const TempDir dir;
    {
        TensorboardWriter writer(dir.path());
        for (int64_t step = 0; step < 200; ++step)
            writer.add(step * 1000003, 1.7e9 + static_cast<double>(step),
                       {{"train_loss", 1.0 / static_cast<double>(step + 1)}, {"lr", 6e-4}});
    }
    const test::Finished read =
        test::run_program({test::peers_python(), "-c", kReader, only_file(dir.path()).string()},
                          {{"TF_CPP_MIN_LOG_LEVEL", "3"}});
    ASSERT_EQ(read.status, 0) << read.err;
    const nlohmann::json rows = parse_json(read.out, "TensorBoard");
    ASSERT_EQ(rows.size(), 400u);
    for (size_t i = 0; i < rows.size(); ++i) {
        const int64_t step = static_cast<int64_t>(i / 2);
        // Tags of one event lie in alphabetical order.
        EXPECT_EQ(rows[i][0], i % 2 == 0 ? "lr" : "train_loss");
        EXPECT_EQ(rows[i][1], step * 1000003);
        const float value =
            i % 2 == 0 ? 6e-4f : static_cast<float>(1.0 / static_cast<double>(step + 1));
        EXPECT_EQ(static_cast<float>(std::stod(rows[i][2].get<std::string>())), value);
        EXPECT_EQ(rows[i][3], 1.7e9 + static_cast<double>(step));
    }
}

}  // namespace
}  // namespace knlp::track
