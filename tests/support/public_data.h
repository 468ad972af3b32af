#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace knlp::test {

/// Directory of public data sets (KNLP_TEST_DATA), empty when none is given.
inline std::filesystem::path public_data() {
    const char* path = std::getenv("KNLP_TEST_DATA");
    return path != nullptr ? path : "";
}

/// Python with the peers' packages (KNLP_PEERS_PYTHON, set by `make check-peers`), empty when none
/// is given.
inline std::filesystem::path peers_python() {
    const char* path = std::getenv("KNLP_PEERS_PYTHON");
    return path != nullptr ? path : "";
}

}  // namespace knlp::test

#define KNLP_NEEDS_PUBLIC_DATA()           \
    if (knlp::test::public_data().empty()) \
    GTEST_SKIP() << "KNLP_TEST_DATA names no directory of public data sets"

#define KNLP_NEEDS_PEERS()                  \
    if (knlp::test::peers_python().empty()) \
    GTEST_SKIP() << "KNLP_PEERS_PYTHON is not set (make check-peers sets it)"
