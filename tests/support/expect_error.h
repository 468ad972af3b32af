#pragma once

#include "knlp/core/error.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace knlp::test {

/// Runs `action`, which must throw Error of this kind whose one-line text holds each part. Returns
/// the text.
template <class Action>
std::string expect_error(ErrorKind kind, std::initializer_list<std::string> parts,
                         Action&& action) {
    try {
        action();
    } catch (const Error& error) {
        const std::string text = error.what();
        EXPECT_EQ(error.kind(), kind) << text;
        EXPECT_EQ(text.find('\n'), std::string::npos) << text;
        for (const std::string& part : parts) EXPECT_THAT(text, testing::HasSubstr(part));
        return text;
    }
    ADD_FAILURE() << "no error was thrown";
    return "";
}

}  // namespace knlp::test
