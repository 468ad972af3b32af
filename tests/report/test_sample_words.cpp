// scripts/sample-words: a share that was counted by hand, kept where it belongs.
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace knlp {
namespace {

using testing::HasSubstr;

class SampleWords : public testing::Test {
protected:
    SampleWords() {
        write("text", "The kernel maps pages; a page is mapped.\n");
        // Counted: The, kernel, mapz, page, page, kern. Known: all but mapz and kern.
        write("sample", "The kernel mapz a page-page kern is");
    }
    void write(const std::string& name, const std::string& text) {
        std::ofstream(dir_.file(name)) << text;
    }
    std::string read(const std::string& name) const {
        std::ostringstream text;
        text << std::ifstream(dir_.file(name)).rdbuf();
        return text.str();
    }
    test::Finished run(std::vector<std::string> words) const {
        const char* source = std::getenv("KNLP_SRC");
        words.insert(words.begin(),
                     std::string(source != nullptr ? source : ".") + "/scripts/sample-words");
        words.insert(words.begin(), "/usr/bin/python3");
        return test::run_program(words, {}, dir_.path());
    }
    test::TempDir dir_;
};

TEST_F(SampleWords, CountsRunsOfThreeLettersThatTheTextHasToo) {
    const test::Finished done = run({"sample", "text"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("66.7% of 6 words"));
}

TEST_F(SampleWords, KeepsTheFiguresBesideTheOthers) {
    write("figures.json", "{\"val_loss\":1.25}\n");
    ASSERT_EQ(run({"sample", "text", "--record", "figures.json"}).status, 0);
    const nlohmann::json kept = nlohmann::json::parse(read("figures.json"));
    EXPECT_EQ(kept.at("val_loss"), 1.25);
    EXPECT_EQ(kept.at("sample_words"), 6);
    EXPECT_DOUBLE_EQ(kept.at("sample_word_share").get<double>(), 4.0 / 6.0);
}

TEST_F(SampleWords, WrongUseIsToldAndChangesNothing) {
    write("empty", "a b c\n");
    write("figures.json", "[1]");
    EXPECT_THAT(run({"empty", "text"}).err, HasSubstr("empty: no word of three letters"));
    EXPECT_THAT(run({"sample", "absent"}).err, HasSubstr("absent: No such file"));
    const test::Finished done = run({"sample", "text", "--record", "figures.json"});
    EXPECT_EQ(done.status, 2);
    EXPECT_THAT(done.err, HasSubstr("figures.json: not a JSON object"));
    EXPECT_EQ(read("figures.json"), "[1]");
}

}  // namespace
}  // namespace knlp
