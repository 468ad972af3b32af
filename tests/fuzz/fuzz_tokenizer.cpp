#include "fuzz_target.h"
#include "knlp/data/tokenizer.h"

namespace {

/// decode(encode(x)) is x wherever encode accepts x.
void check_round_trip(const knlp::data::Tokenizer& tokenizer) {
    const std::string text = "The kernel's 3 files,\n\tünïcode \xff\xfe and  blanks.";
    const std::vector<int32_t> ids = tokenizer.encode(std::string_view(text));
    KNLP_CHECK(tokenizer.decode(ids) == text);
    KNLP_CHECK(tokenizer.eot() < tokenizer.vocab_size());
}

}  // namespace

// First byte: 'r' a rank file, 'j' tokenizer.json, else vocab.json and merges.txt with a zero byte
// between.
KNLP_FUZZ_TARGET(tokenizer) {
    if (input.empty()) return;
    const std::filesystem::path directory = scratch_directory() / "tokenizer";
    std::filesystem::remove_all(directory);
    std::filesystem::create_directory(directory);
    const std::string_view body = input.substr(1);
    accept_errors_about_the_file([&] {
        if (input[0] == 'r') {
            check_round_trip(*data::load_bpe(write_input("tokenizer/ranks.tiktoken", body)));
        } else if (input[0] == 'j') {
            write_input("tokenizer/tokenizer.json", body);
            check_round_trip(*data::load_tokenizer(directory));
        } else {
            const size_t middle = std::min(body.find('\0'), body.size());
            write_input("tokenizer/vocab.json", body.substr(0, middle));
            write_input("tokenizer/merges.txt", body.substr(std::min(middle + 1, body.size())));
            check_round_trip(*data::load_tokenizer(directory));
        }
    });
}
