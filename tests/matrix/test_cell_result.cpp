#include "knlp/matrix/cell_result.h"

#include "knlp/core/json.h"

#include "tests/matrix/fake_cell.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

namespace knlp::matrix {
namespace {

using test::expect_error;
using test::FakeCell;
using test::write_fake_cell;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(CellResult, IsReadFromARunDirectory) {
    const test::TempDir dir;
    write_fake_cell(dir.file("run"), {.seed = 7, .loss = 2.5, .windows = {2.25f, 2.75f}});
    const CellResult cell = read_cell(dir.file("run"), "arm");
    EXPECT_EQ(cell.arm, "arm");
    EXPECT_EQ(cell.seed, 7u);
    EXPECT_TRUE(cell.done);
    EXPECT_EQ(cell.failure(), "");
    EXPECT_EQ(cell.metric, 2.5);
    EXPECT_EQ(cell.windows_sha256, std::string(64, 'b'));
    EXPECT_THAT(cell.window_losses, ElementsAre(2.25f, 2.75f));
}

TEST(CellResult, TheHashesTellDataApart) {
    const test::TempDir dir;
    write_fake_cell(dir.file("a"), {});
    write_fake_cell(dir.file("b"), {.train_sha256 = std::string(64, '3')});
    write_fake_cell(dir.file("c"), {.train_sha256 = ""});
    const std::string a = read_cell(dir.file("a"), "x").data_sha256;
    EXPECT_THAT(a, HasSubstr("tokenizer=ttt"));
    EXPECT_NE(a, read_cell(dir.file("b"), "x").data_sha256);
    EXPECT_EQ(read_cell(dir.file("c"), "x").data_sha256, "");
}

TEST(CellResult, ALossThatIsNotANumberIsDivergence) {
    const test::TempDir dir;
    write_fake_cell(dir.file("nan"), {.loss = NAN});
    write_fake_cell(dir.file("inf"), {.loss = -INFINITY});
    EXPECT_EQ(read_cell(dir.file("nan"), "x").failure(), "diverged");
    EXPECT_EQ(read_cell(dir.file("inf"), "x").failure(), "diverged");
}

TEST(CellResult, ARunThatIsNotDoneSaysWhy) {
    const test::TempDir dir;
    write_fake_cell(dir.file("a"), {.state = "failed", .reason = "diverged at step 3"});
    write_fake_cell(dir.file("b"), {.state = "preempted"});
    EXPECT_EQ(read_cell(dir.file("a"), "x").failure(), "diverged at step 3");
    EXPECT_EQ(read_cell(dir.file("b"), "x").failure(), "preempted");
    EXPECT_TRUE(std::isnan(read_cell(dir.file("b"), "x").metric));
}

TEST(CellResult, WhatIsNoRunIsRefused) {
    const test::TempDir dir;
    expect_error(kData, {"no such run directory"}, [&] { read_cell(dir.file("none"), "x"); });
    expect_error(kData, {"not a run directory"}, [&] { read_cell(dir.path(), "x"); });
}

TEST(CellResult, WindowsMustBeAsManyAsTheManifestSays) {
    const test::TempDir dir;
    write_fake_cell(dir.file("run"), {.windows = {1, 2, 3}});
    std::filesystem::resize_file(dir.file("run") / "eval_windows.f32", 11);
    expect_error(kData, {"eval_windows.f32", "11 bytes", "3 windows"},
                 [&] { read_cell(dir.file("run"), "x"); });
}

/// A manifest with one field replaced.
void set(const test::TempDir& dir, const char* pointer, const nlohmann::json& value) {
    const auto file = dir.file("run") / "manifest.json";
    nlohmann::json manifest = read_json(file);
    manifest[nlohmann::json::json_pointer(pointer)] = value;
    std::ofstream(file) << manifest.dump();
}

TEST(CellResult, ADamagedManifestIsOneLine) {
    const test::TempDir dir;
    write_fake_cell(dir.file("run"), {});
    set(dir, "/seeds/seed", "one");
    expect_error(kData, {"manifest.json", "/seeds/seed"}, [&] { read_cell(dir.file("run"), "x"); });
    set(dir, "/seeds/seed", -1);
    expect_error(kData, {"manifest.json", "/seeds/seed"}, [&] { read_cell(dir.file("run"), "x"); });
    set(dir, "/seeds/seed", 1);
    set(dir, "/data", nlohmann::json::array({1}));
    expect_error(kData, {"manifest"}, [&] { read_cell(dir.file("run"), "x"); });
    std::ofstream(dir.file("run") / "manifest.json") << "[]";
    expect_error(kData, {"manifest"}, [&] { read_cell(dir.file("run"), "x"); });
}

TEST(CellResult, HashesOfAnotherFormAreNotRecorded) {
    const test::TempDir dir;
    write_fake_cell(dir.file("run"), {});
    set(dir, "/tokenizer", 3);
    EXPECT_EQ(read_cell(dir.file("run"), "x").data_sha256, "");
    set(dir, "/tokenizer", {{"sha256", "t"}});
    EXPECT_NE(read_cell(dir.file("run"), "x").data_sha256, "");
    set(dir, "/data", {{"files", {1, "two"}}});
    EXPECT_EQ(read_cell(dir.file("run"), "x").data_sha256, "");
}

}  // namespace
}  // namespace knlp::matrix
