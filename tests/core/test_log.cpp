#include "knlp/core/file.h"
#include "knlp/core/log.h"
#include "tests/support/temp_dir.h"
#include "tests/support/terminal.h"

#include <fcntl.h>
#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <string>

namespace knlp {
namespace {

using test::TempDir;
using testing::HasSubstr;
using testing::Not;

std::string read_all(int fd) {
    std::string text;
    std::array<char, 4096> buffer;
    for (ssize_t n; (n = ::read(fd, buffer.data(), buffer.size())) > 0;)
        text.append(buffer.data(), static_cast<size_t>(n));
    ::close(fd);
    return text;
}

/// What `action` writes to a stderr that is a pipe.
template <class Action>
std::string on_pipe(Action&& action) {
    int ends[2];
    if (::pipe(ends) != 0) return "";
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        action();
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string text = read_all(ends[0]);
    ::waitpid(child, nullptr, 0);
    return text;
}

/// What `action` writes to a stderr that is a terminal of 40 columns.
template <class Action>
std::string on_terminal(Action&& action) {
    const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) return "no terminal";
    const int slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY);
    struct winsize size {};
    size.ws_col = 40;
    ::ioctl(slave, TIOCSWINSZ, &size);
    const pid_t child = ::fork();
    if (child == 0) {
        ::setenv("TERM", "xterm", 1);
        ::unsetenv("NO_COLOR");
        ::dup2(slave, STDERR_FILENO);
        action();
        ::_exit(0);
    }
    ::close(slave);
    std::string text = read_all(master);
    ::waitpid(child, nullptr, 0);
    return text;
}

TEST(Log, PlainOnAPipeAndNothingBelowItsLevel) {
    const std::string text = on_pipe([] {
        log::debug("hidden");
        log::info("step {}", 3);
        log::warn("low {}", "disk");
    });
    EXPECT_EQ(text, "step 3\nwarning: low disk\n");
}

TEST(Log, LevelsCanBeOpenedAndClosed) {
    EXPECT_EQ(on_pipe([] {
                  log::set_level(log::Level::kDebug);
                  log::debug("seen");
                  log::set_level(log::Level::kError);
                  log::warn("hidden");
              }),
              "debug: seen\n");
}

TEST(Log, ColourOnATerminalOnly) {
    KNLP_NEEDS_TERMINAL();
    const std::string text = on_terminal([] { log::warn("careful"); });
    EXPECT_THAT(text, HasSubstr("\033[33mwarning: \033[0mcareful"));
    EXPECT_THAT(on_terminal([] {
                    ::setenv("NO_COLOR", "1", 1);
                    log::warn("careful");
                }),
                Not(HasSubstr("\033[33m")));
    EXPECT_THAT(on_terminal([] {
                    ::setenv("TERM", "dumb", 1);
                    log::warn("careful");
                }),
                Not(HasSubstr("\033")));
}

TEST(Log, TheRunLogGetsEveryLineWithItsTime) {
    const TempDir dir;
    on_pipe([&] {
        log::open_run_log(dir.file("output.log"));
        log::info("one");
        log::warn("two");
        log::close_run_log();
        log::info("three");
    });
    const std::string text = read_file(dir.file("output.log"));
    EXPECT_THAT(text,
                testing::MatchesRegex("[-0-9]+T[:0-9]+Z one\n[-0-9]+T[:0-9]+Z warning: two\n"));
}

TEST(Log, AFullDiskIsSaidOnceAndLoggingGoesOn) {
    if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
    const std::string text = on_pipe([] {
        log::open_run_log("/dev/full");
        log::info("one");
        log::info("two");
    });
    EXPECT_THAT(text, HasSubstr("one\n"));
    EXPECT_THAT(text, HasSubstr("two\n"));
    EXPECT_EQ(text.find("No space"), text.rfind("No space"));
    EXPECT_THAT(text, HasSubstr("No space"));
}

TEST(LiveLine, IsRewrittenInPlaceAndCutToTheTerminal) {
    KNLP_NEEDS_TERMINAL();
    const std::string text = on_terminal([] {
        log::LiveLine line;
        line.update("step 1");
        line.update(std::string(60, 'x') + "end");
    });
    EXPECT_EQ(text, "\r\033[Kstep 1\r\033[K" + std::string(39, 'x') + "\r\033[K");
}

TEST(LiveLine, IsClearedBeforeALogLine) {
    KNLP_NEEDS_TERMINAL();
    const std::string text = on_terminal([] {
        log::LiveLine line;
        line.update("step 1");
        log::info("saved");
    });
    EXPECT_EQ(text, "\r\033[Kstep 1\r\033[Ksaved\r\n");
}

TEST(LiveLine, CutsBetweenCharacters) {
    KNLP_NEEDS_TERMINAL();
    std::string wide;
    for (int i = 0; i < 50; ++i) wide += "ü";
    const std::string text = on_terminal([&] {
        log::LiveLine line;
        line.update(wide);
    });
    EXPECT_THAT(text, HasSubstr("\033[K" + wide.substr(0, 39 * 2) + "\r"));
}

TEST(LiveLine, DoesNothingWithoutATerminal) {
    EXPECT_EQ(on_pipe([] {
                  log::LiveLine line;
                  EXPECT_FALSE(line.active());
                  line.update("step 1");
              }),
              "");
}

}  // namespace
}  // namespace knlp
