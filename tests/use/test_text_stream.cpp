#include "knlp/model/text_stream.h"

#include <gtest/gtest.h>

#include <random>

namespace knlp::model {
namespace {

std::vector<std::string> push_bytes(TextStream& stream, std::string_view text) {
    std::vector<std::string> pieces;
    for (char c : text) pieces.push_back(stream.push(std::string_view(&c, 1)));
    return pieces;
}

TEST(TextStream, ShowsACharacterOnceItsLastByteHasCome) {
    TextStream stream;
    EXPECT_EQ(push_bytes(stream, "a€b"), (std::vector<std::string>{"a", "", "", "€", "b"}));
    EXPECT_EQ(push_bytes(stream, "😀"), (std::vector<std::string>{"", "", "", "😀"}));
    EXPECT_EQ(stream.text(), "a€b😀");
}

TEST(TextStream, BytesThatAreNoUtf8PassAsTheyAre) {
    TextStream stream;
    EXPECT_EQ(stream.push("\xff"), "\xff");
    EXPECT_EQ(stream.push("\x80"), "\x80");
    EXPECT_EQ(stream.push("\xe2"), "");
    EXPECT_EQ(stream.push("a"),
              "\xe2"
              "a");
}

TEST(TextStream, AnUnfinishedCharacterComesOutAtTheEnd) {
    TextStream stream;
    EXPECT_EQ(stream.push("x\xf0\x9f"), "x");
    EXPECT_EQ(stream.finish(), "\xf0\x9f");
    EXPECT_EQ(stream.finish(), "");
    EXPECT_EQ(stream.text(), "x\xf0\x9f");
}

TEST(TextStream, EndsBeforeTheStopText) {
    TextStream stream({"END"});
    EXPECT_EQ(stream.push("text E"), "text ");
    EXPECT_EQ(stream.push("N"), "");
    EXPECT_EQ(stream.push("D and more"), "");
    EXPECT_TRUE(stream.stopped());
    EXPECT_EQ(stream.push("nothing"), "");
    EXPECT_EQ(stream.finish(), "");
    EXPECT_EQ(stream.text(), "text ");
}

TEST(TextStream, WhatOnlyLookedLikeAStopTextIsShown) {
    TextStream stream({"END"});
    EXPECT_EQ(stream.push("EN"), "");
    EXPECT_EQ(stream.push("EN"), "EN");
    EXPECT_EQ(stream.push("T"), "ENT");
    EXPECT_EQ(stream.push("E"), "");
    EXPECT_EQ(stream.finish(), "E");
}

TEST(TextStream, TheEarliestOfSeveralStopTextsCounts) {
    TextStream stream({"\n\n", "Q:", ""});
    EXPECT_EQ(stream.push("answer Q: why\n\n"), "answer ");
    EXPECT_TRUE(stream.stopped());
}

TEST(TextStream, AStopTextMayBeginInsideAnother) {
    TextStream stream({"aab"});
    std::string shown;
    for (const std::string& piece : push_bytes(stream, "xaaab")) shown += piece;
    EXPECT_EQ(shown, "xa");
    EXPECT_TRUE(stream.stopped());
}

// However the bytes are cut into tokens, the text is what find() says, and no piece cuts a
// character.
TEST(TextStream, PiecesDoNotDependOnHowTheBytesArrive) {
    std::mt19937 random(7);
    const std::vector<std::string> alphabet = {"a", "b", "é", "€", "😀", "\n"};
    for (int trial = 0; trial < 500; ++trial) {
        std::string text;
        for (int i = 0; i < 12; ++i) text += alphabet[random() % alphabet.size()];
        const std::string stop = alphabet[random() % 6] + alphabet[random() % 6];
        TextStream stream({stop});
        std::string shown;
        for (size_t at = 0; at < text.size();) {
            const size_t bytes = std::min<size_t>(1 + random() % 5, text.size() - at);
            const std::string piece = stream.push(text.substr(at, bytes));
            EXPECT_EQ(unfinished_utf8(piece), 0u);
            EXPECT_TRUE(piece.empty() || (static_cast<unsigned char>(piece[0]) & 0xC0) != 0x80);
            shown += piece;
            at += bytes;
        }
        shown += stream.finish();
        EXPECT_EQ(shown, text.substr(0, text.find(stop))) << trial;
        EXPECT_EQ(stream.stopped(), text.find(stop) != std::string::npos);
    }
}

TEST(UnfinishedUtf8, CountsTheBytesThatWaitForMore) {
    EXPECT_EQ(unfinished_utf8(""), 0u);
    EXPECT_EQ(unfinished_utf8("abc"), 0u);
    EXPECT_EQ(unfinished_utf8("é"), 0u);
    EXPECT_EQ(unfinished_utf8("a\xc3"), 1u);
    EXPECT_EQ(unfinished_utf8("a\xe2\x82"), 2u);
    EXPECT_EQ(unfinished_utf8("\xf0\x9f\x98"), 3u);
    EXPECT_EQ(unfinished_utf8("\x80\x80\x80\x80"), 0u);
    EXPECT_EQ(unfinished_utf8("\xc0"), 0u);  // begins no character
}

}  // namespace
}  // namespace knlp::model
