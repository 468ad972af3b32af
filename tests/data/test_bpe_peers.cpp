// Tokenizers we save, read by Hugging Face tokenizers, transformers and tiktoken
// (scripts/peers/tokenizer.py).
#include "knlp/core/file.h"
#include "knlp/data/tokenizer.h"
#include "tests/data/texts.h"
#include "tests/support/public_data.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace knlp {
namespace {

/// Text of letters, digits, symbols and blanks that every program's Unicode tables know alike.
std::string hard_text() {
    std::mt19937_64 random(17);
    std::string text = "We've said it's I'll they'd DON'T 'S\n\n\n   x = y[ 0 ];\t\t// done\r\n";
    static const std::string kPieces[] = {"a",   "word",   " ",      "  ",     "\n",     "\t",
                                          "'",   "'s",     "'ll",    "1",      "42",     "!",
                                          "...", "é",      "ß",      "日",     "본",     "🙂",
                                          "½",   "\u00a0", "\u2003", "\u3000", "\u200b", "\u0301"};
    for (int i = 0; i < 20000; ++i) text += kPieces[random() % std::size(kPieces)];
    return text;
}

void expect_peers_agree(const data::Tokenizer& tokenizer, const std::string& text) {
    const test::TempDir dir;
    tokenizer.save(dir.path());
    write_file_atomic(dir.file("text"), text);
    const test::Finished peer =
        test::run_program({test::peers_python(), test::source_root() / "scripts/peers/tokenizer.py",
                           dir.path(), dir.file("text")});
    ASSERT_EQ(peer.status, 0) << peer.err;
    const nlohmann::json result = nlohmann::json::parse(peer.out);
    const std::vector<int32_t> ours = tokenizer.encode(text);
    for (const char* program : {"tokenizers", "transformers", "tiktoken"})
        if (result.contains(program)) {
            EXPECT_EQ(result.at(program).get<std::vector<int32_t>>(), ours) << program;
        }
    EXPECT_EQ(result.at("eot"), tokenizer.eot());
}

TEST(BpePeers, EncodeWithATrainedTokenizerAsWeDo) {
    KNLP_NEEDS_PEERS();
    const std::string text = hard_text();
    const std::string_view view = text;
    expect_peers_agree(*data::train_bpe({&view, 1}, 700, 1), text);
}

TEST(BpePeers, EncodeWithGpt2AsWeDo) {
    KNLP_NEEDS_PEERS();
    KNLP_NEEDS_PUBLIC_DATA();
    expect_peers_agree(
        *data::load_bpe(test::public_data() / "gpt2.tiktoken"),
        read_file(test::public_data() / "wikitext2-valid.txt").substr(0, 300000) + hard_text());
}

}  // namespace
}  // namespace knlp
