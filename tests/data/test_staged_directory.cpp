#include "knlp/core/staged_directory.h"

#include "knlp/data/prepare.h"
#include "tests/data/trees.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

TEST(StagedDirectory, IsSeenOnlyOncePublished) {
    const test::TempDir dir;
    StagedDirectory staged(dir.file("a/b"), false);
    write_file_atomic(staged.path() / "x", "1");
    EXPECT_FALSE(fs::exists(dir.file("a/b")));
    EXPECT_TRUE(staged.publish());
    EXPECT_EQ(read_file(dir.file("a/b/x")), "1");
}

TEST(StagedDirectory, LeavesNothingWhenNotPublished) {
    const test::TempDir dir;
    { StagedDirectory staged(dir.file("b"), false); }
    { StagedDirectory staged(dir.file("deep/er/b"), false); }
    EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(StagedDirectory, RefusesWhatIsThereUnlessTold) {
    const test::TempDir dir;
    test::write_text(dir.file("b/old"), "old");
    expect_error(kUsage, {"there already", "--force"},
                 [&] { StagedDirectory(dir.file("b"), false); });
    StagedDirectory staged(dir.file("b"), true);
    write_file_atomic(staged.path() / "new", "new");
    EXPECT_TRUE(staged.publish());
    EXPECT_FALSE(fs::exists(dir.file("b/old")));
    EXPECT_EQ(read_file(dir.file("b/new")), "new");
    EXPECT_TRUE(test::hidden_names(dir.path()).empty());
}

TEST(StagedDirectory, FirstOfTwoMakersWins) {
    const test::TempDir dir;
    StagedDirectory first(dir.file("b"), false), second(dir.file("b"), false);
    write_file_atomic(first.path() / "x", "first");
    write_file_atomic(second.path() / "x", "second");
    EXPECT_TRUE(first.publish());
    EXPECT_FALSE(second.publish());
    EXPECT_EQ(read_file(dir.file("b/x")), "first");
}

TEST(StagedDirectory, WhatAKilledMakerLeftGoesWhenTheNextBegins) {
    const test::TempDir dir;
    const pid_t child = ::fork();
    if (child == 0) {
        new StagedDirectory(dir.file("killed"), false);
        ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    EXPECT_EQ(test::hidden_names(dir.path()).size(), 1u);
    test::write_text(dir.file(".notes.tmp.mine/text"), "no maker's");
    StagedDirectory living(dir.file("living"), false), next(dir.file("next"), false);
    EXPECT_EQ(test::hidden_names(dir.path()).size(), 3u);
    EXPECT_TRUE(fs::exists(living.path()));
    EXPECT_TRUE(fs::exists(dir.file(".notes.tmp.mine/text")));
}

TEST(StagedDirectory, PathMayEndInASlash) {
    const test::TempDir dir;
    StagedDirectory staged(dir.file("b").string() + "/", false);
    EXPECT_TRUE(staged.publish());
    EXPECT_TRUE(fs::is_directory(dir.file("b")));
}

TEST(StagedDirectory, UnwritablePlaceIsNamed) {
    expect_error(kRun, {"/proc"}, [] { StagedDirectory("/proc/nothing/here", false); });
}

TEST(Makers, TwoAtOnceDoNoHarm) {
    const test::TempDir dir;
    test::write_text(dir.file("a.txt"), "the text that both of them tokenize at once");
    std::vector<data::DatasetMeta> made(4);
    {
        std::vector<std::jthread> makers;
        for (data::DatasetMeta& meta : made)
            makers.emplace_back([&] {
                try {
                    meta = data::make_text({dir.file("a.txt")}, data::TextFormat::kText, {},
                                           dir.file("out"));
                } catch (const Error& error) {
                    // One that came after another had finished.
                    EXPECT_NE(std::string(error.what()).find("there already"), std::string::npos)
                        << error.what();
                    meta = data::read_dataset_meta(dir.file("out/meta.json"));
                }
            });
    }
    for (const data::DatasetMeta& meta : made) EXPECT_EQ(meta.train_sha256, made[0].train_sha256);
    EXPECT_NO_THROW(data::open_dataset(dir.file("out")));
    EXPECT_TRUE(test::hidden_names(dir.path()).empty());
}

}  // namespace
}  // namespace knlp
