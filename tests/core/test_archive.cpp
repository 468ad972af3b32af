#include "knlp/core/archive.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <zlib.h>

#include <cstdlib>

#include "knlp/core/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace knlp {
namespace {

using test::expect_error;
using test::TempDir;

std::vector<ArchiveFile> some_files() {
    return {{.name = "b/two.txt", .content = std::string(513, 'x')},
            {.name = "a.txt", .content = "one\n"},
            {.name = std::string(120, 'd') + "/" + std::string(90, 'f'), .content = ""},
            {.name = "b/zeros", .content = std::string(512, '\0')}};
}

/// A gzip file of this text.
std::filesystem::path zipped(const TempDir& dir, const std::string& text) {
    const std::filesystem::path path = dir.file("x.tar.gz");
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
    return path;
}

/// The archive's bytes with those of one member's name replaced, its checksum made right.
std::string renamed(const TempDir& dir, const std::string& name, char type = '0') {
    dir.write("one.tar.gz", tar_gz({{.name = "a.txt", .content = "one\n"}}));
    std::string tar = read_gzip(dir.file("one.tar.gz"));
    name.copy(tar.data(), 100);
    if (name.size() < 100) tar[name.size()] = '\0';
    tar[156] = type;
    std::fill_n(tar.begin() + 148, 8, ' ');
    unsigned sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(tar[i]);
    std::snprintf(tar.data() + 148, 8, "%06o", sum);
    return tar;
}

}  // namespace

TEST(Archive, FilesComeBackInOrderOfTheirNames) {
    const TempDir dir;
    dir.write("x.tar.gz", tar_gz(some_files()));
    const std::vector<ArchiveFile> files = read_tar_gz(dir.file("x.tar.gz"));
    ASSERT_EQ(files.size(), 4u);
    EXPECT_EQ(files[0].name, "a.txt");
    EXPECT_EQ(files[0].content, "one\n");
    EXPECT_EQ(files[1].content, std::string(513, 'x'));
    EXPECT_EQ(files[2].content, std::string(512, '\0'));
    EXPECT_EQ(files[3].name, std::string(120, 'd') + "/" + std::string(90, 'f'));
}

TEST(Archive, EqualFilesGiveEqualBytes) {
    std::vector<ArchiveFile> files = some_files();
    const std::string one = tar_gz(files);
    std::reverse(files.begin(), files.end());
    EXPECT_EQ(one, tar_gz(files));
    EXPECT_EQ(one.substr(4, 4), std::string(4, '\0')) << "no time in the gzip header";
}

TEST(Archive, TarReadsIt) {
    const TempDir dir;
    dir.write("x.tar.gz", tar_gz(some_files()));
    const std::string command = "cd " + dir.path().string() +
                                " && tar xzf x.tar.gz && test \"$(cat a.txt)\" = one && "
                                "test $(stat -c %a-%Y b/two.txt) = 644-0";
    EXPECT_EQ(std::system(command.c_str()), 0);
}

TEST(Archive, NamesThatLeaveTheFolderAreRefused) {
    const TempDir dir;
    for (const char* name : {"/etc/passwd", "../x", "a/../../x", "a//b", "./a", ".."})
        expect_error(kData, {"outside of its folder"},
                     [&] { read_tar_gz(zipped(dir, renamed(dir, name))); });
}

TEST(Archive, LinksAndDevicesAreRefused) {
    const TempDir dir;
    for (const char type : {'1', '2', '3', '4', '6', 'x', 'L'})
        expect_error(kData, {"no plain file"},
                     [&] { read_tar_gz(zipped(dir, renamed(dir, "a.txt", type))); });
}

TEST(Archive, LimitsHold) {
    const TempDir dir;
    dir.write("x.tar.gz", tar_gz(some_files()));
    expect_error(kData, {"more than 1024 bytes"},
                 [&] { read_tar_gz(dir.file("x.tar.gz"), {.bytes = 1024}); });
    expect_error(kData, {"more than 3 files"},
                 [&] { read_tar_gz(dir.file("x.tar.gz"), {.files = 3}); });
}

TEST(Archive, EveryTruncationIsAnError) {
    const TempDir dir;
    dir.write("x.tar.gz", tar_gz(some_files()));
    const std::string tar = read_gzip(dir.file("x.tar.gz"));
    for (size_t length = 0; length + 1024 < tar.size(); length += 256)
        EXPECT_THROW(read_tar_gz(zipped(dir, tar.substr(0, length))), Error) << length;
}

TEST(Archive, ADamagedHeaderIsAnError) {
    const TempDir dir;
    dir.write("x.tar.gz", tar_gz(some_files()));
    std::string tar = read_gzip(dir.file("x.tar.gz"));
    tar[3] ^= 1;
    expect_error(kData, {"checksum"}, [&] { read_tar_gz(zipped(dir, tar)); });
}

}  // namespace knlp
