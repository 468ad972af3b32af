#include "knlp/core/file.h"

#include "knlp/core/hash.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <set>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::TempDir;

std::set<std::string> names_in(const fs::path& directory) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory))
        names.insert(entry.path().filename());
    return names;
}

TEST(AtomicFile, LargeOnesHoldEveryByteAndKnowTheirHash) {
    const TempDir dir;
    // Two pieces past the page cache and an end that is aligned to nothing.
    std::string text((size_t{16} << 20) + 4097, '\0');
    for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761u >> 13);
    AtomicFile file(dir.file("large"));
    file.expect(std::ssize(text));
    for (size_t at = 0, n = 1; at < text.size(); at += n, n = n * 3 + 1)
        file.write(std::string_view(text).substr(at, n));
    file.commit();
    EXPECT_TRUE(read_file(dir.file("large")) == text);
    EXPECT_EQ(file.xxh3(), xxh3(std::as_bytes(std::span(text))));
    EXPECT_EQ(xxh3_file(dir.file("large")), file.xxh3());
}

TEST(AtomicFile, NoRoomForALargeOneIsFoundBeforeItIsWritten) {
    const TempDir dir;
    struct rlimit before {};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small = {rlim_t{1} << 20, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    {
        AtomicFile file(dir.file("large"));
        expect_error(kRun, {"large", "no room for 16777216 bytes"},
                     [&] { file.expect(int64_t{16} << 20); });
    }
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_TRUE(names_in(dir.path()).empty());
}

TEST(ReadFile, ReturnsEveryByte) {
    const TempDir dir;
    std::string all;
    for (int i = 0; i < 70000; ++i) all += static_cast<char>(i % 256);
    std::ofstream(dir.file("a"), std::ios::binary) << all;
    EXPECT_EQ(read_file(dir.file("a")), all);
}

TEST(ReadFile, ReadsKernelFilesThatHaveNoSize) {
    EXPECT_NE(read_file("/proc/self/status").find("VmRSS"), std::string::npos);
}

TEST(ReadFile, NamesThePathOfAMissingFile) {
    expect_error(kData, {"/no/such/file", "No such file"}, [] { read_file("/no/such/file"); });
    expect_error(kData, {"/tmp", "directory"}, [] { read_file("/tmp"); });
}

TEST(ReadFile, RefusesMoreThanTheLimit) {
    const TempDir dir;
    std::ofstream(dir.file("a")) << "12345";
    EXPECT_EQ(read_file(dir.file("a"), 5), "12345");
    expect_error(kData, {dir.file("a"), "5 bytes", "at most 4"},
                 [&] { read_file(dir.file("a"), 4); });
    expect_error(kData, {"more than 10 bytes"}, [&] { read_file("/proc/self/status", 10); });
}

TEST(AtomicFile, NothingIsSeenBeforeCommit) {
    const TempDir dir;
    AtomicFile file(dir.file("a"));
    file.write("some text");
    EXPECT_FALSE(fs::exists(dir.file("a")));
    file.commit();
    EXPECT_EQ(read_file(dir.file("a")), "some text");
    EXPECT_EQ(file.bytes_written(), 9);
    EXPECT_EQ(names_in(dir.path()), std::set<std::string>{"a"});
}

TEST(AtomicFile, WithoutCommitTheOldContentAndNoTemporaryStay) {
    const TempDir dir;
    write_file_atomic(dir.file("a"), "old");
    {
        AtomicFile file(dir.file("a"));
        file.write(std::string(3 << 20, 'x'));
    }
    EXPECT_EQ(read_file(dir.file("a")), "old");
    EXPECT_EQ(names_in(dir.path()), std::set<std::string>{"a"});
}

TEST(AtomicFile, PiecesOfAnySizeJoinInOrder) {
    const TempDir dir;
    std::string expected;
    AtomicFile file(dir.file("a"));
    for (const size_t size : {0, 1, 1 << 20, 3, (1 << 20) - 1, 5 << 20, 2, 700000, 700000}) {
        const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
        file.write(piece);
        expected += piece;
    }
    file.commit();
    EXPECT_EQ(read_file(dir.file("a")), expected);
    EXPECT_EQ(file.bytes_written(), std::ssize(expected));
}

TEST(AtomicFile, FollowsTheUmask) {
    const TempDir dir;
    const mode_t before = ::umask(027);
    write_file_atomic(dir.file("a"), "x");
    ::umask(before);
    struct stat info {};
    ASSERT_EQ(::stat(dir.file("a").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777u, 0640u);
}

TEST(AtomicFile, SaysWhichPathCannotBeMade) {
    const TempDir dir;
    expect_error(kRun, {(dir.file("none") / "a").string(), "cannot create", "No such file"},
                 [&] { write_file_atomic(dir.file("none") / "a", "x"); });
    expect_error(kUsage, {"does not name a file"},
                 [&] { write_file_atomic(dir.path() / "", "x"); });
}

TEST(AtomicFile, ADirectoryInTheWayIsAnErrorAndLeavesNothing) {
    const TempDir dir;
    fs::create_directory(dir.file("a"));
    expect_error(kRun, {"cannot rename"}, [&] { write_file_atomic(dir.file("a"), "x"); });
    EXPECT_EQ(names_in(dir.path()), std::set<std::string>{"a"});
}

TEST(AtomicFile, IoErrorsHaveTheirCode) {
    try {
        write_file_atomic("/no/such/directory/a", "x");
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), "E_IO");
        EXPECT_EQ(exit_status(error.kind()), 4);
    }
}

TEST(AtomicFile, ConcurrentWritersLeaveOneWholeFile) {
    const TempDir dir;
    for (const char letter : {'a', 'b', 'c', 'd'}) {
        if (::fork() != 0) continue;
        for (int i = 0; i < 5; ++i) write_file_atomic(dir.file("f"), std::string(100000, letter));
        ::_exit(0);
    }
    int status = 0;
    while (::wait(&status) > 0) EXPECT_EQ(status, 0);
    const std::string text = read_file(dir.file("f"));
    EXPECT_EQ(text, std::string(100000, text[0]));
    EXPECT_EQ(names_in(dir.path()), std::set<std::string>{"f"});
}

TEST(AppendFile, KeepsWhatIsThereAndKnowsItsSize) {
    const TempDir dir;
    {
        AppendFile file(dir.file("a"));
        file.append("one\n");
        EXPECT_EQ(file.size(), 4);
    }
    AppendFile file(dir.file("a"));
    EXPECT_EQ(file.size(), 4);
    file.append("two\n");
    file.sync();
    EXPECT_EQ(read_file(dir.file("a")), "one\ntwo\n");
}

TEST(AppendFile, LinesOfSeveralProcessesNeverMix) {
    const TempDir dir;
    for (const char letter : {'a', 'b', 'c'}) {
        if (::fork() != 0) continue;
        AppendFile file(dir.file("log"));
        for (int i = 0; i < 200; ++i) file.append(std::string(300, letter) + "\n");
        ::_exit(0);
    }
    while (::wait(nullptr) > 0) {
    }
    std::ifstream in(dir.file("log"));
    int lines = 0;
    for (std::string line; std::getline(in, line); ++lines)
        EXPECT_EQ(line, std::string(300, line[0]));
    EXPECT_EQ(lines, 600);
}

TEST(MappedFile, ShowsTheContentAndMoves) {
    const TempDir dir;
    write_file_atomic(dir.file("a"), "mapped");
    MappedFile one(dir.file("a"));
    EXPECT_EQ(one.text(), "mapped");
    MappedFile two(std::move(one));
    EXPECT_EQ(two.text(), "mapped");
    EXPECT_TRUE(one.bytes().empty());
    write_file_atomic(dir.file("b"), "other");
    MappedFile three(dir.file("b"));
    three = std::move(two);
    EXPECT_EQ(three.text(), "mapped");
    EXPECT_EQ(three.path(), dir.file("a"));
}

TEST(MappedFile, AnEmptyFileIsAnEmptySpan) {
    const TempDir dir;
    write_file_atomic(dir.file("a"), "");
    EXPECT_TRUE(MappedFile(dir.file("a")).bytes().empty());
}

TEST(MappedFile, RefusesWhatIsNoRegularFile) {
    const TempDir dir;
    ASSERT_EQ(::mkfifo(dir.file("pipe").c_str(), 0600), 0);
    expect_error(kData, {"pipe", "not a regular file"}, [&] { MappedFile file(dir.file("pipe")); });
    expect_error(kData, {"not a regular file"}, [&] { MappedFile file(dir.path()); });
    expect_error(kData, {"none", "No such file"}, [&] { MappedFile file(dir.file("none")); });
}

TEST(FileLock, ASecondHolderIsRefusedWithThePidOfTheFirst) {
    const TempDir dir;
    int ready[2], go[2];
    ASSERT_EQ(::pipe(ready), 0);
    ASSERT_EQ(::pipe(go), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const FileLock lock(dir.file("lock"));
        char byte = 'r';
        if (::write(ready[1], &byte, 1) == 1 && ::read(go[0], &byte, 1) == 1) ::_exit(0);
        ::_exit(1);
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    expect_error(kLocked, {dir.file("lock"), "process " + std::to_string(child)},
                 [&] { FileLock lock(dir.file("lock")); });
    ASSERT_EQ(::write(go[1], &byte, 1), 1);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    const FileLock lock(dir.file("lock"));
    EXPECT_EQ(read_file(dir.file("lock")), std::to_string(::getpid()) + "\n");
    for (const int fd : {ready[0], ready[1], go[0], go[1]}) ::close(fd);
}

TEST(FileLock, AKilledHolderLeavesItFree) {
    const TempDir dir;
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const FileLock lock(dir.file("lock"));
        const char byte = 'r';
        if (::write(ready[1], &byte, 1) == 1) ::pause();
        ::_exit(1);
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_NO_THROW(FileLock(dir.file("lock")));
    ::close(ready[0]);
    ::close(ready[1]);
}

TEST(FileLock, IsFreedWithItsObject) {
    const TempDir dir;
    { const FileLock lock(dir.file("lock")); }
    EXPECT_NO_THROW(FileLock(dir.file("lock")));
}

TEST(CacheDirectory, FollowsTheXdgRules) {
    const char* xdg = ::getenv("XDG_CACHE_HOME");
    const std::string before = xdg != nullptr ? xdg : "";
    ::setenv("XDG_CACHE_HOME", "/some/where", 1);
    EXPECT_EQ(cache_directory(), "/some/where/knlp");
    // Relative values must be ignored by the XDG specification.
    ::setenv("XDG_CACHE_HOME", "relative", 1);
    const char* home = ::getenv("HOME");
    if (home != nullptr) {
        EXPECT_EQ(cache_directory(), fs::path(home) / ".cache/knlp");
    }
    xdg != nullptr ? ::setenv("XDG_CACHE_HOME", before.c_str(), 1) : ::unsetenv("XDG_CACHE_HOME");
}

}  // namespace
}  // namespace knlp
