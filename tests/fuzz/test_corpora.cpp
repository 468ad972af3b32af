// Replays the seeds and past findings of every fuzz target, whole, cut and with bytes changed. The
// targets check with KNLP_CHECK and die on a fault, so that reaching the end is the test.
#include "knlp/core/file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <vector>

namespace knlp::fuzz {

using Target = void (*)(std::string_view);
void dotconfig(std::string_view);
void elf(std::string_view);
void gzip(std::string_view);
void json_text(std::string_view);
void metrics(std::string_view);
void safetensors(std::string_view);
void tokenfile(std::string_view);
void tokenizer(std::string_view);

namespace {

namespace fs = std::filesystem;

struct Row {
    const char* name;
    Target run;
};

class Corpus : public testing::TestWithParam<Row> {
protected:
    static std::vector<std::string> inputs() {
        const char* source = std::getenv("KNLP_SRC");
        const fs::path directory =
            fs::path(source != nullptr ? source : ".") / "tests/fuzz/corpus" / GetParam().name;
        std::vector<fs::path> files;
        for (const auto& entry : fs::directory_iterator(directory)) files.push_back(entry.path());
        std::sort(files.begin(), files.end());
        std::vector<std::string> contents;
        for (const fs::path& file : files) contents.push_back(read_file(file));
        return contents;
    }
};

TEST_P(Corpus, EveryInputIsReadOrRefused) {
    const std::vector<std::string> all = inputs();
    ASSERT_GE(all.size(), 2u);
    for (const std::string& input : all) GetParam().run(input);
}

TEST_P(Corpus, CutInputsAreReadOrRefused) {
    for (const std::string& input : inputs()) {
        const size_t step = std::max<size_t>(1, input.size() / 40);
        for (size_t size = 0; size < input.size(); size += step)
            GetParam().run(std::string_view(input).substr(0, size));
    }
}

TEST_P(Corpus, ChangedInputsAreReadOrRefused) {
    std::mt19937 random(23);
    for (const std::string& input : inputs()) {
        if (input.empty()) continue;
        for (int i = 0; i < 60; ++i) {
            std::string changed = input;
            for (int n = 0; n < 1 + i % 4; ++n)
                changed[random() % changed.size()] = static_cast<char>(random());
            GetParam().run(changed);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Readers, Corpus,
                         testing::Values(Row{"dotconfig", dotconfig}, Row{"elf", elf},
                                         Row{"gzip", gzip}, Row{"json", json_text},
                                         Row{"metrics", metrics}, Row{"safetensors", safetensors},
                                         Row{"tokenfile", tokenfile}, Row{"tokenizer", tokenizer}),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace knlp::fuzz
