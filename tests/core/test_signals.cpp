#include "knlp/core/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace knlp {
namespace {

/// Runs `action` in a child process and returns its exit status, or 128 + signal.
template <class Action>
int in_child(Action&& action) {
    const pid_t child = ::fork();
    if (child == 0) {
        install_stop_handlers();
        action();
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Signals, OneSignalOnlySetsTheFlag) {
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1})
        EXPECT_EQ(in_child([&] {
                      ::raise(signal);
                      ::_exit(stop_signal() == signal ? 42 : 43);
                  }),
                  42)
            << signal;
}

TEST(Signals, ASecondInterruptExitsAtOnce) {
    EXPECT_EQ(in_child([] {
                  ::raise(SIGINT);
                  ::raise(SIGINT);
                  ::_exit(43);
              }),
              130);
}

TEST(Signals, RepeatedTerminationDoesNotCutTheCheckpointShort) {
    EXPECT_EQ(in_child([] {
                  ::raise(SIGTERM);
                  ::raise(SIGTERM);
                  ::raise(SIGUSR1);
                  ::raise(SIGINT);
                  ::_exit(stop_signal() == SIGTERM ? 42 : 43);
              }),
              42);
}

TEST(Signals, AClosedPipeIsAnErrorNotADeath) {
    EXPECT_EQ(in_child([] {
                  int ends[2];
                  if (::pipe(ends) != 0) ::_exit(1);
                  ::close(ends[0]);
                  ::_exit(::write(ends[1], "x", 1) < 0 && errno == EPIPE ? 42 : 43);
              }),
              42);
}

TEST(Signals, StatusesAreTheDocumentedOnes) {
    EXPECT_EQ(stop_exit_status(SIGINT), 130);
    EXPECT_EQ(stop_exit_status(SIGTERM), 75);
    EXPECT_EQ(stop_exit_status(SIGUSR1), 75);
}

TEST(Signals, ARequestActsLikeASignalAndCanBeCleared) {
    EXPECT_EQ(stop_signal(), 0);
    request_stop(SIGTERM);
    request_stop(SIGINT);
    EXPECT_EQ(stop_signal(), SIGTERM);
    clear_stop();
    EXPECT_EQ(stop_signal(), 0);
}

}  // namespace
}  // namespace knlp
