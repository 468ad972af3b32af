#pragma once

#include <gtest/gtest.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

namespace knlp::test {

/// False in containers and chroots without /dev/pts.
inline bool have_terminals() {
    const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0) return false;
    ::close(master);
    return true;
}

}  // namespace knlp::test

#define KNLP_NEEDS_TERMINAL() \
    if (!knlp::test::have_terminals()) GTEST_SKIP() << "no pseudo-terminals here (/dev/pts)"
