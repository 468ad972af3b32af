// What AtomicFile and AppendFile leave behind when the disk is full or the process dies at any
// call.
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using test::Finished;
using test::TempDir;

constexpr int64_t kSize = 3000000;

/// Runs the helper that replaces dir/f by kSize letters 'n', with the preload shim set as given.
Finished replace_with_shim(const TempDir& dir, std::map<std::string, std::string> environment) {
    environment["LD_PRELOAD"] = (test::binary_directory() / "crash_shim.so").string();
    environment["ASAN_OPTIONS"] = "verify_asan_link_order=0";
    return test::run_program({(test::binary_directory() / "atomic_writer").string(),
                              dir.file("f").string(), "n", std::to_string(kSize)},
                             environment);
}

int64_t count_calls() {
    const TempDir dir;
    const Finished done =
        replace_with_shim(dir, {{"KNLP_CRASH_COUNT", dir.file("count").string()}});
    EXPECT_EQ(done.status, 0) << done.err;
    return std::stoll(read_file(dir.file("count")));
}

TEST(AtomicFileCrash, EveryCrashPointLeavesOldOrNewContent) {
    const int64_t calls = count_calls();
    ASSERT_GE(calls, 4);  // write, fsync, rename, fsync of the directory at least
    int old_left = 0, new_left = 0;
    for (int64_t n = 1; n <= calls; ++n) {
        const TempDir dir;
        write_file_atomic(dir.file("f"), "old");
        const Finished done = replace_with_shim(dir, {{"KNLP_CRASH_AT", std::to_string(n)}});
        EXPECT_EQ(done.status, 137) << "call " << n << ": " << done.err;
        const std::string text = read_file(dir.file("f"));
        if (text == "old") {
            ++old_left;
        } else {
            ++new_left;
            EXPECT_EQ(text, std::string(kSize, 'n')) << "call " << n;
        }
    }
    // Both outcomes occur: before the rename the old content, after it the new one.
    EXPECT_GE(old_left, 3);
    EXPECT_GE(new_left, 1);
}

TEST(AtomicFileCrash, EveryFullDiskPointIsReportedAndLeavesNoTemporary) {
    const int64_t calls = count_calls();
    for (int64_t n = 1; n <= calls; ++n) {
        const TempDir dir;
        write_file_atomic(dir.file("f"), "old");
        const Finished done = replace_with_shim(dir, {{"KNLP_FAIL_AT", std::to_string(n)}});
        EXPECT_EQ(done.status, 4) << "call " << n;
        EXPECT_THAT(done.err, testing::HasSubstr("No space left on device; free space"))
            << "call " << n;
        const std::string text = read_file(dir.file("f"));
        EXPECT_TRUE(text == "old" || text == std::string(kSize, 'n')) << "call " << n;
        EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()), 1)
            << "call " << n;
    }
}

TEST(AtomicFileCrash, CountsOnlyCallsBelowTheGivenDirectory) {
    const TempDir dir;
    const Finished done = replace_with_shim(
        dir, {{"KNLP_CRASH_AT", "1"}, {"KNLP_CRASH_BELOW", dir.file("elsewhere").string()}});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_EQ(read_file(dir.file("f")), std::string(kSize, 'n'));
}

/// Runs `action` in a child whose files may grow to `limit` bytes: write(2) first writes less than
/// asked, then fails with EFBIG. The child's status is 1 when an E_IO error came, 0 when none.
template <class Action>
int status_with_file_limit(rlim_t limit, Action&& action) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGXFSZ, SIG_IGN);
        const struct rlimit limits { limit, limit };
        ::setrlimit(RLIMIT_FSIZE, &limits);
        try {
            action();
        } catch (const Error& error) {
            ::_exit(error.code() == "E_IO" ? 1 : 2);
        }
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(AtomicFileCrash, ShortWriteThenFailureLeavesTheOldFile) {
    const TempDir dir;
    write_file_atomic(dir.file("f"), "old");
    EXPECT_EQ(status_with_file_limit(
                  2500000, [&] { write_file_atomic(dir.file("f"), std::string(3 << 20, 'n')); }),
              1);
    EXPECT_EQ(read_file(dir.file("f")), "old");
    EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()), 1);
    EXPECT_EQ(status_with_file_limit(
                  4000000, [&] { write_file_atomic(dir.file("f"), std::string(3 << 20, 'n')); }),
              0);
    EXPECT_EQ(read_file(dir.file("f")), std::string(3 << 20, 'n'));
}

TEST(AppendFileCrash, ALineThatDoesNotFitLeavesNoPart) {
    const TempDir dir;
    AppendFile(dir.file("log")).append("first\n");
    EXPECT_EQ(
        status_with_file_limit(10, [&] { AppendFile(dir.file("log")).append("second line\n"); }),
        1);
    EXPECT_EQ(read_file(dir.file("log")), "first\n");
}

TEST(AppendFileCrash, AFullDeviceIsReported) {
    if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
    AppendFile file("/dev/full");
    try {
        file.append("x");
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("/dev/full"));
        EXPECT_THAT(error.what(), testing::HasSubstr("No space left on device"));
    }
}

}  // namespace
}  // namespace knlp
