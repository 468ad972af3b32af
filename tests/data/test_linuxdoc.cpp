#include "knlp/data/prepare.h"

#include "tests/data/trees.h"
#include "tests/support/expect_error.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::write_gzip;
using test::write_text;

/// Lines that a shell command prints.
std::string shell(const std::string& command, const fs::path& directory) {
    const test::Finished done = test::run_program({"sh", "-c", command}, {}, directory);
    EXPECT_EQ(done.status, 0) << done.err;
    return done.out;
}

TEST(LinuxdocPackage, HasTheFilesAndBytesThatFindCounts) {
    const fs::path tree = data::find_linuxdoc();
    if (tree.empty()) GTEST_SKIP() << "linux-doc is not installed";
    const test::TempDir dir;
    const data::DatasetMeta meta = data::make_linuxdoc(tree, false, {}, dir.file("d"));
    const int64_t train_files = meta.train_tokens - meta.train_bytes,
                  val_files = meta.val_tokens - meta.val_bytes;

    const std::string english =
        "find Documentation -type f \\( -name '*.rst' -o -name '*.rst.gz' \\)"
        " ! -path 'Documentation/translations/*' -print0";
    const std::string files = shell(english + " | tr -cd '\\0' | wc -c", tree);
    const std::string bytes = shell(english + " | xargs -0 zcat -f | wc -c", tree);
    EXPECT_EQ(train_files + val_files, std::stoll(files));
    EXPECT_EQ(meta.train_bytes + meta.val_bytes, std::stoll(bytes));
    if (meta.package_version == "6.1.192-2") {
        EXPECT_EQ(train_files + val_files, 2841);
        EXPECT_EQ(meta.train_bytes + meta.val_bytes, 21372070);
        EXPECT_EQ(train_files, 2588);
        EXPECT_EQ(val_files, 253);
    }
}

TEST(LinuxdocPackage, VersionIsTheInstalledOne) {
    const fs::path tree = data::find_linuxdoc();
    if (tree.empty()) GTEST_SKIP() << "linux-doc is not installed";
    const test::TempDir dir;
    const data::DatasetMeta meta = data::make_linuxdoc(tree, false, {}, dir.file("d"));
    EXPECT_EQ(meta.package_version + "\n",
              shell("dpkg-query -W -f '${Version}\\n' " + tree.filename().string(), dir.path()));
}

TEST(LinuxdocPackage, IsFoundInTheCacheWhereSetupUnpacksIt) {
    const test::TempDir dir;
    // Newer than any that is installed, so that this one is taken; a file is no documentation.
    const fs::path packages = dir.file("knlp/linux-doc/usr/share/doc");
    write_text(packages / "linux-doc-999.2/Documentation/a.rst", "text");
    write_text(packages / "linux-doc-999.10/Documentation/a.rst", "text");
    write_text(packages / "linux-doc-1000.1/Documentation", "text");
    const char* before = std::getenv("XDG_CACHE_HOME");
    const std::string kept = before ? before : "";
    ::setenv("XDG_CACHE_HOME", dir.path().c_str(), 1);
    EXPECT_EQ(data::find_linuxdoc(), packages / "linux-doc-999.10");
    before ? ::setenv("XDG_CACHE_HOME", kept.c_str(), 1) : ::unsetenv("XDG_CACHE_HOME");
}

/// A small tree. By FNV-1a computed elsewhere, mod 10: f10 0; a, b/d 2; b/c 5.
class LinuxdocTree : public testing::Test {
protected:
    LinuxdocTree() {
        write_gzip(docs() / "b/c.rst.gz", "third");
        write_text(docs() / "b/d.rst", "fourth");
        write_gzip(docs() / "a.rst.gz", "first\n");
        write_text(docs() / "f10.rst", "held out");
        write_text(docs() / "conf.py", "not text");
        write_text(docs() / "translations/it_IT/x.rst", "ciao");
        fs::create_symlink("a.rst.gz", docs() / "link.rst.gz");
    }
    fs::path docs() const { return dir_.file("tree") / "Documentation"; }
    fs::path out() const { return dir_.file("out"); }
    test::TempDir dir_;
};

TEST_F(LinuxdocTree, DocumentsAreSortedSplitByNameAndEnded) {
    data::make_linuxdoc(dir_.file("tree"), false, {}, out());
    EXPECT_EQ(test::text_of(out(), "train"),
              "first\n<|endoftext|>third<|endoftext|>fourth<|endoftext|>");
    EXPECT_EQ(test::text_of(out(), "val"), "held out<|endoftext|>");
}

TEST_F(LinuxdocTree, DocumentationItselfIsTakenToo) {
    const data::DatasetMeta whole = data::make_linuxdoc(dir_.file("tree"), false, {}, out());
    const data::DatasetMeta inner = data::make_linuxdoc(docs(), false, {}, dir_.file("inner"));
    EXPECT_EQ(inner.train_sha256, whole.train_sha256);
    EXPECT_EQ(inner.sources.front().path, whole.sources.front().path);
}

TEST_F(LinuxdocTree, TranslationsComeOnlyWhenAskedFor) {
    data::make_linuxdoc(dir_.file("tree"), true, {}, out());
    const std::string all = test::text_of(out(), "train") + test::text_of(out(), "val");
    EXPECT_NE(all.find("ciao"), std::string::npos);
}

TEST_F(LinuxdocTree, AddingAFileMovesNoOtherAcrossTheSplit) {
    data::make_linuxdoc(dir_.file("tree"), false, {}, out());
    const std::string val = test::text_of(out(), "val");
    write_text(docs() / "aaa/new.rst", "new");
    data::make_linuxdoc(dir_.file("tree"), false, {}, dir_.file("more"));
    EXPECT_EQ(test::text_of(dir_.file("more"), "val"), val);
}

TEST_F(LinuxdocTree, InvalidBytesBecomeReplacementCharacters) {
    write_text(docs() / "a.rst", "bad \xFF\xC3 byte");
    fs::remove(docs() / "a.rst.gz");
    data::make_linuxdoc(dir_.file("tree"), false, {}, out());
    EXPECT_TRUE(test::text_of(out(), "train").starts_with("bad \uFFFD\uFFFD byte<|endoftext|>"));
}

TEST_F(LinuxdocTree, SourcesAreListedWithTheirHashes) {
    const data::DatasetMeta meta = data::make_linuxdoc(dir_.file("tree"), false, {}, out());
    ASSERT_EQ(meta.sources.size(), 4u);
    EXPECT_EQ(meta.sources[0].path, "Documentation/a.rst.gz");
    const std::string sums = shell("sha256sum Documentation/b/d.rst", dir_.file("tree"));
    EXPECT_EQ(meta.sources[2].sha256, sums.substr(0, 64));
}

TEST_F(LinuxdocTree, VersionOfASourceTreeIsItsMakefiles) {
    write_text(dir_.file("tree") / "Makefile",
               "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 3\nEXTRAVERSION =\n");
    EXPECT_EQ(data::make_linuxdoc(dir_.file("tree"), false, {}, out()).package_version, "6.12.3");
}

TEST_F(LinuxdocTree, CharAndBpeTokenizersReadTheirOwnText) {
    for (const char* kind : {"char", "bpe"}) {
        data::PrepareOptions options{.tokenizer = kind, .bpe_vocab = 260, .force = true};
        data::make_linuxdoc(dir_.file("tree"), false, options, out());
        EXPECT_EQ(test::text_of(out(), "val").substr(0, 8), "held out") << kind;
    }
}

TEST(LinuxdocErrors, NameTheDirectoryAndThePackage) {
    const test::TempDir dir;
    expect_error(kData, {dir.path().string(), "Documentation", "linux-doc"},
                 [&] { data::make_linuxdoc(dir.path(), false, {}, dir.file("out")); });
    fs::create_directories(dir.file("Documentation"));
    expect_error(kData, {"no .rst"},
                 [&] { data::make_linuxdoc(dir.path(), false, {}, dir.file("out")); });
    write_text(dir.file("Documentation/a.rst.gz"), "not gzip");
    expect_error(kData, {"a.rst.gz"},
                 [&] { data::make_linuxdoc(dir.path(), false, {}, dir.file("out")); });
    EXPECT_FALSE(fs::exists(dir.file("out")));
}

}  // namespace
}  // namespace knlp
