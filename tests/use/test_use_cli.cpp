// generate, eval and convert as a user calls them: output, status and text of errors. Starting knlp
// costs 0.3 s of loading LibTorch, so what can be tested without a process is tested beside this
// file.

#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/safetensors.h"
#include "knlp/data/token_file.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/weights.h"
#include "tests/support/run_binary.h"
#include "tests/support/temp_dir.h"
#include "tests/use/toy_model.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <array>

namespace knlp::model {
namespace {

namespace fs = std::filesystem;
using test::Finished;
using testing::HasSubstr;
using testing::Not;
using Words = std::vector<std::string>;

/// A directory with a toy model `m` in Hugging Face layout and a byte tokenizer.
class UseCli : public testing::Test {
protected:
    void SetUp() override {
        fs::create_directories(dir_.file("m") / "tokenizer");
        save(gpt2_, dir_.file("m"));
        data::make_byte_tokenizer()->save(dir_.file("m") / "tokenizer");
    }
    static void save(Gpt2& gpt2, const fs::path& where) {
        fs::create_directories(where);
        save_weights(where / "model.safetensors", gpt2, "transformer.", {});
        write_hf_config(where, gpt2.config(), 256);
    }
    Finished knlp(Words words) { return test::run_knlp(std::move(words), dir_.path()); }
    Finished generate(Words words) {
        words.insert(words.begin(), {"generate", "--model", "m", "--threads", "1"});
        return knlp(std::move(words));
    }
    Finished eval(const std::string& task, Words words) {
        words.insert(words.begin(), {"eval", "--task", task, "--model", "m", "--threads", "1"});
        return knlp(std::move(words));
    }
    void write(const std::string& name, std::string_view text) {
        write_file_atomic(dir_.file(name), text);
    }
    nlohmann::json json_of(const Finished& done) {
        EXPECT_EQ(done.status, 0) << done.err;
        return nlohmann::json::parse(done.out, nullptr, false);
    }
    static void expect_refused(const Finished& done, int status, const Words& parts) {
        EXPECT_EQ(done.status, status) << done.err;
        EXPECT_THAT(done.err, HasSubstr("knlp: error[E_"));
        for (const std::string& part : parts) EXPECT_THAT(done.err, HasSubstr(part));
        EXPECT_EQ(done.out, "");
    }

    test::TempDir dir_;
    Gpt2 gpt2_ = test::toy_model();
};

TEST_F(UseCli, DryRunOfEvalSaysWhatAndComputesNothing) {
    write("ids.json", "[1, 2, 3]");
    write("text.txt", "some text to be measured");
    for (const auto& [task, option, file] :
         {std::array{"loss", "--data", "text.txt"}, std::array{"logits", "--ids", "ids.json"}}) {
        const Finished done = eval(task, {option, file, "--out", "made.json", "--dry-run"});
        EXPECT_EQ(done.status, 0) << done.err;
        EXPECT_EQ(done.out, "");
        EXPECT_THAT(done.err, HasSubstr(std::string("would measure ") + task + " of m on " + file +
                                        " and write made.json"));
        EXPECT_FALSE(fs::exists(dir_.file("made.json")));
    }
    expect_refused(knlp({"eval", "--model", "absent", "--dry-run"}), 3, {"absent"});
}

TEST_F(UseCli, GreedyTextIsTheSameWithAndWithoutCache) {
    const Finished cached = generate({"--prompt", "Hello", "-n", "15", "--greedy"});
    EXPECT_EQ(cached.status, 0) << cached.err;
    EXPECT_TRUE(cached.out.starts_with("Hello"));
    EXPECT_EQ(generate({"--prompt", "Hello", "-n", "15", "--temperature", "0", "--no-cache",
                        "--prefill-chunk", "1"})
                  .out,
              cached.out);
    EXPECT_THAT(cached.err, HasSubstr("tokens/s, first after"));
}

TEST_F(UseCli, LogLevelOfTheConfigurationIsObeyedByEveryVerb) {
    write("val.txt", "A text of some length, which the toy model is measured on, twice. ");
    const auto messages = [&](const Words& more) {
        Words text = {"-p", "Hello", "-n", "5", "--dtype", "bf16"};
        text.insert(text.end(), more.begin(), more.end());
        Words loss = {"--data", "val.txt", "--dtype", "bf16"};
        loss.insert(loss.end(), more.begin(), more.end());
        const Finished generated = generate(text), measured = eval("loss", loss);
        EXPECT_EQ(generated.status, 0) << generated.err;
        EXPECT_EQ(measured.status, 0) << measured.err;
        return std::pair(generated.err, measured.err);
    };
    const auto [text, loss] = messages({});
    EXPECT_THAT(text, HasSubstr("rounded to bf16"));
    EXPECT_THAT(loss, HasSubstr("rounded to bf16"));
    EXPECT_EQ(messages({"--set", "LOG_LEVEL=WARNING"}), std::pair(std::string(), std::string()));
    expect_refused(generate({"-p", "Hello", "--set", "LOG_LEVL=WARNING"}), 2, {"LOG_LEVEL"});
}

TEST_F(UseCli, Bf16WeightsAreAnnouncedAndWorkInEveryVerb) {
    const Finished text =
        generate({"-p", "Hello", "-n", "5", "--greedy", "--dtype", "bf16", "--json"});
    EXPECT_EQ(json_of(text)["dtype"], "bf16");
    EXPECT_THAT(text.err, HasSubstr("rounded to bf16"));
    write("val.txt", std::string(600, 'x') + "some text to be scored");
    for (const char* task : {"loss", "ppl"}) {
        const double plain = json_of(eval(task, {"--data", "val.txt", "--json"}))["loss"];
        const auto rounded =
            json_of(eval(task, {"--data", "val.txt", "--json", "--dtype", "bf16"}));
        EXPECT_EQ(rounded["precision"], "bfloat16") << task;
        EXPECT_NEAR(rounded["loss"].get<double>(), plain, 0.2) << task;
    }
    expect_refused(generate({"-p", "a", "--dtype", "int8"}), 2, {"--dtype", "int8"});
}

TEST_F(UseCli, MoreThreadsThanCoresAreWarnedAboutOnce) {
    const auto warnings = [&](int64_t threads) {
        const std::string err = knlp({"generate", "--model", "m", "-p", "a", "-n", "3", "--threads",
                                      std::to_string(threads)})
                                    .err;
        int64_t found = 0;
        for (size_t at = 0; (at = err.find("they wait for each other", at)) != std::string::npos;
             ++at)
            ++found;
        return found;
    };
    EXPECT_EQ(warnings(usable_cores() + 1), 1);
    EXPECT_EQ(warnings(usable_cores()), 0);
}

TEST_F(UseCli, PromptsThatDoNotFitIntoMemoryTogetherAreRefusedWithTheNumberThatDoes) {
    config::Model patient = test::toy_config();
    patient.n_ctx = 1 << 18;
    Gpt2 gpt2 = test::toy_model(1, 8, patient);
    save(gpt2, dir_.file("m"));
    std::string prompts;
    for (int i = 0; i < 100000; ++i) prompts += "ab\n";
    write("prompts.txt", prompts);
    const Finished done = generate({"--batch-file", "prompts.txt", "-n", "1000000"});
    // Two layers, keys and values of 16 float32 each: 256 bytes a token.
    expect_refused(done, 4,
                   {"E_MEMORY", "keys and values of 100000 x 262144 tokens 6710.9 GB",
                    "prompts at once would fit"});
    EXPECT_EQ(std::count(done.err.begin(), done.err.end(), '\n'), 1) << done.err;
}

TEST_F(UseCli, WindowsThatDoNotFitIntoMemoryTogetherAreRefusedWithTheBatchThatDoes) {
    config::Model wide = test::toy_config();
    wide.n_layer = 1;
    wide.d_model = 512;
    wide.n_ctx = 8192;
    Gpt2 gpt2 = test::toy_model(1, 1, wide);
    save(gpt2, dir_.file("m"));
    write("data.bin", "");
    fs::resize_file(dir_.file("data.bin"), 2 * (4096 * 8192 + 1));
    const Finished done =
        eval("loss", {"--data", "data.bin", "--tokens", "33554432", "--batch", "4096"});
    // Stream, norm, queries with keys and values, joined heads and the hidden layer: ten numbers a
    // column, so 20 kB a token.
    expect_refused(
        done, 4,
        {"E_MEMORY", "largest: activations of 4096 x 8192 tokens 6", "--batch ", " would fit"});
    EXPECT_EQ(std::count(done.err.begin(), done.err.end(), '\n'), 1) << done.err;
}

TEST_F(UseCli, AModelLargerThanTheMemoryIsRefusedBeforeItIsRead) {
    config::Model vast = test::toy_config();
    vast.n_layer = 48;
    vast.d_model = 1 << 16;
    write_hf_config(dir_.file("m"), vast, 256);
    // 12 C^2 weights a layer in four bytes, and 0.2 GB of vectors and embeddings.
    expect_refused(generate({"-p", "a"}), 4,
                   {"E_MEMORY", "largest: weights 9895.8 GB", "--dtype bf16"});
}

TEST_F(UseCli, TheSeedDecidesTheText) {
    const auto text = [&](const char* seed) {
        return generate({"-p", "a", "-n", "12", "--temperature", "2", "--seed", seed}).out;
    };
    const std::string seven = text("7");
    EXPECT_EQ(text("7"), seven);
    EXPECT_NE(text("8"), seven);
}

TEST_F(UseCli, ThePromptMayComeFromAFileOrStandardInput) {
    write("prompt.txt", "Hello");
    const Finished file = generate({"--prompt-file", "prompt.txt", "-n", "9", "--greedy"});
    EXPECT_TRUE(file.out.starts_with("Hello")) << file.err;
    EXPECT_EQ(test::run_shell("$KNLP generate --model m --prompt-file - -n 9 --greedy < prompt.txt",
                              dir_.path())
                  .out,
              file.out);
}

TEST_F(UseCli, ABatchIsReadFromLinesOrJsonLines) {
    write("batch.txt", "a\nlonger prompt\n");
    write("batch.jsonl", "\"a\"\n{\"prompt\":\"longer prompt\"}\n");
    const auto rows =
        json_of(generate({"--batch-file", "batch.txt", "-n", "8", "--greedy", "--json"}))["rows"];
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[1]["prompt"], "longer prompt");
    EXPECT_EQ(rows[1]["ids"].size(), 8u);
    EXPECT_EQ(
        json_of(generate({"--batch-file", "batch.jsonl", "-n", "8", "--greedy", "--json"}))["rows"],
        rows);
}

TEST_F(UseCli, AnEmptyPromptStartsFromEndOfText) {
    const Finished done = generate({"-n", "5", "--greedy", "--json", "--ignore-eot"});
    const auto row = json_of(done)["rows"][0];
    EXPECT_EQ(row["prompt_tokens"], 1);
    EXPECT_EQ(row["ids"].size(), 5u);
}

TEST_F(UseCli, AFullContextEndsTheTextUnlessItSlides) {
    const Finished stopped =
        generate({"--prompt", "x", "-n", "60", "--greedy", "--ignore-eot", "--json"});
    EXPECT_EQ(json_of(stopped)["rows"][0]["finish_reason"], "context_full");
    EXPECT_THAT(stopped.err, HasSubstr("context full"));
    const Finished slid = generate(
        {"--prompt", "x", "-n", "60", "--greedy", "--ignore-eot", "--json", "--overflow", "slide"});
    EXPECT_EQ(json_of(slid)["rows"][0]["ids"].size(), 60u);
}

TEST_F(UseCli, APromptThatIsTooLongIsRefusedOrTruncated) {
    const std::string prompt(30, 'p');
    expect_refused(generate({"--prompt", prompt}), 2,
                   {"prompt has 30 tokens, context is 24 (use --truncate left)"});
    EXPECT_EQ(json_of(generate({"--prompt", prompt, "--truncate", "left", "-n", "1",
                                "--json"}))["rows"][0]["truncated_tokens"],
              6);
}

TEST_F(UseCli, WrongFlagsOfGenerateAreRefusedByName) {
    expect_refused(generate({"--top-p", "2"}), 2, {"top-p 2", "(0, 1]"});
    expect_refused(generate({"--top-k", "many"}), 2, {"--top-k"});
    expect_refused(generate({"--overflow", "wrap"}), 2, {"--overflow", "slide"});
    expect_refused(generate({"--temprature", "1"}), 2, {"--temprature", "--temperature"});
    expect_refused(generate({"--prompt", "a", "--prompt-file", "b"}), 2, {"--prompt"});
    expect_refused(generate({"--prompt-file", "none.txt"}), 3, {"none.txt"});
    write("bad.jsonl", "\"ok\"\n{\"text\":1}\n");
    expect_refused(generate({"--batch-file", "bad.jsonl"}), 3, {"bad.jsonl:2"});
}

TEST_F(UseCli, WhatIsNoModelIsRefusedWithWhatWasLookedFor) {
    expect_refused(knlp({"generate", "--model", "none"}), 3, {"none", "no such directory"});
    fs::create_directory(dir_.file("empty"));
    expect_refused(knlp({"generate", "--model", "empty"}), 3, {"empty", "config.json"});
    expect_refused(knlp({"generate"}), 2, {"no run below results", "--model"});
    expect_refused(knlp({"generate", "--model", "m", "--device", "cuda"}), 5, {"no CUDA device"});
}

TEST_F(UseCli, ModelsWithoutATokenizerSayHowToNameOne) {
    fs::remove_all(dir_.file("m") / "tokenizer");
    expect_refused(generate({"--prompt", "x"}), 2, {"--tokenizer"});
}

TEST_F(UseCli, DamagedWeightsAreRefusedByName) {
    const fs::path weights = dir_.file("m") / "model.safetensors";
    const std::string whole = read_file(weights);
    write_file_atomic(weights, whole.substr(0, whole.size() - 100));
    expect_refused(generate({"--prompt", "x"}), 3, {"model.safetensors"});
}

TEST_F(UseCli, WeightsOfAnotherModelAreRefusedWithTheFirstDifference) {
    config::Model deeper = test::toy_config();
    deeper.n_layer = 3;
    write_hf_config(dir_.file("m"), deeper, 256);
    expect_refused(generate({"--prompt", "x"}), 3, {"missing", "h.2."});
    config::Model wider = test::toy_config();
    wider.n_ctx = 32;
    write_hf_config(dir_.file("m"), wider, 256);
    expect_refused(generate({"--prompt", "x"}), 3, {"wpe.weight", "[24, 16]", "[32, 16]"});
}

TEST_F(UseCli, NotFiniteWeightsAreFoundBeforeOrDuringUse) {
    {
        const at::NoGradGuard no_grad;
        gpt2_.find("ln_f.weight")->value[3] = NAN;
    }
    save(gpt2_, dir_.file("m"));
    expect_refused(generate({"--prompt", "x", "--check-finite"}), 3, {"ln_f.weight", "nan"});
    EXPECT_EQ(generate({"--prompt", "x"}).status, 4);
}

TEST_F(UseCli, AClosedPipeEndsQuietly) {
    const Finished done = test::run_shell(
        "$KNLP generate --model m --prompt x -n 1000000 --overflow slide --ignore-eot --threads 1 "
        "--quiet | head -c 9; "
        "exit ${PIPESTATUS[0]}",
        dir_.path());
    EXPECT_EQ(done.status, 0);
    EXPECT_EQ(done.err, "");
}

// The reader keeps the pipe open, so that only the signal can end the endless text.
TEST_F(UseCli, AnInterruptEndsWithStatus130AndTheTextSoFar) {
    const Finished done = test::run_shell(
        "mkfifo f; $KNLP generate --model m --prompt x -n 100000000 --overflow slide --ignore-eot "
        "--threads 1 > f & "
        "exec 3< f; head -c 20 <&3 > /dev/null; kill -INT $!; cat <&3 > rest; wait $!",
        dir_.path());
    EXPECT_EQ(done.status, 130) << done.err;
    EXPECT_THAT(read_file(dir_.file("rest")), testing::EndsWith("\n"));
}

TEST_F(UseCli, ErrorsAreJsonWhenAskedFor) {
    const Finished done = generate({"--top-p", "2", "--json"});
    EXPECT_EQ(done.status, 2);
    EXPECT_EQ(nlohmann::json::parse(done.err, nullptr, false)["error"]["code"], "E_USAGE");
}

// ------------------------------------------------------------------ eval

TEST_F(UseCli, PerplexityAndLossAgreeOnTheSameTokens) {
    // 121 tokens: five windows of 24 inputs and their targets, the last token a target only.
    std::string text;
    for (int i = 0; i < 121; ++i) text += static_cast<char>('a' + i * 7 % 26);
    write("text.txt", text);
    const auto loss = json_of(eval("loss", {"--data", "text.txt", "--json"}));
    EXPECT_EQ(loss["tokens"], 120);
    EXPECT_EQ(loss["bytes"], 120);
    EXPECT_NEAR(loss["bits_per_byte"].get<double>(), loss["loss"].get<double>() / std::log(2.0),
                1e-9);
    EXPECT_NEAR(loss["perplexity"].get<double>(), std::exp(loss["loss"].get<double>()), 1e-6);
    const auto chunk = json_of(eval("ppl", {"--data", "text.txt", "--json"}));
    EXPECT_EQ(chunk["tokens"], 5 * 23);  // all but the first of each window; one token is left
    const auto stride =
        json_of(eval("ppl", {"--data", "text.txt", "--mode", "stride", "5", "--json"}));
    EXPECT_EQ(stride["tokens"], 120);
    EXPECT_EQ(stride["stride"], 5);
}

TEST_F(UseCli, IdsOutsideTheVocabularyAreRefusedWithTheirPosition) {
    std::vector<int32_t> ids(100, 65);
    ids[57] = 300;
    data::write_tokens(dir_.file("bad.bin"), ids, 400, data::TokenLayout::kPlain);
    expect_refused(eval("ppl", {"--data", "bad.bin"}), 3, {"bad.bin", "300", "57", "257"});
}

TEST_F(UseCli, DataShorterThanAWindowIsRefusedWithBothNumbers) {
    write("short.txt", "only seventeen...");
    expect_refused(eval("loss", {"--data", "short.txt"}), 3, {"17 tokens", "25"});
}

TEST_F(UseCli, WrongUseOfEvalIsRefused) {
    write("text.txt", std::string(200, 'x'));
    expect_refused(eval("ppl", {"--data", "text.txt", "--mode", "stride", "24"}), 2,
                   {"stride 24", "1..23"});
    expect_refused(eval("ppl", {"--data", "text.txt", "--mode", "slide"}), 2, {"chunk"});
    expect_refused(eval("loss", {}), 2, {"--data"});
    expect_refused(eval("loss", {"--data", "none"}), 3, {"none"});
    expect_refused(eval("hellaswag", {}), 2, {"hellaswag_val.jsonl"});
    expect_refused(eval("logits", {"--ids", "ids.json"}), 2, {"--out"});
}

const std::string kItem =
    R"({"ctx":"he sits","ctx_a":"he","ctx_b":"sits","activity_label":"s","endings":["a","b","c","d"],"label":1})";

TEST_F(UseCli, HellaswagReportsAndComparesWithABaseline) {
    write("items.jsonl", kItem + "\n" + kItem + "\n");
    const auto first =
        json_of(eval("hellaswag", {"--data", "items.jsonl", "--json", "--out", "first.json"}));
    EXPECT_EQ(first["n"], 2);
    EXPECT_FALSE(first.contains("items"));
    EXPECT_TRUE(first["results"]["hellaswag"].contains("acc_norm,none"));
    const auto second =
        json_of(eval("hellaswag", {"--data", "items.jsonl", "--json", "--baseline", "first.json"}));
    EXPECT_EQ(second["baseline"]["acc"]["mcnemar_p"], 1.0);
    EXPECT_EQ(read_json(dir_.file("first.json"))["items"].size(), 2u);

    expect_refused(eval("hellaswag", {"--data", "items.jsonl", "--baseline", "first.json",
                                      "--style", "completion"}),
                   3, {"first.json", "harness"});
    expect_refused(
        eval("hellaswag", {"--data", "items.jsonl", "--baseline", "first.json", "--limit", "1"}), 3,
        {"2 items", "1"});
}

TEST_F(UseCli, AMalformedHellaswagLineEndsWithStatus3AndItsNumber) {
    write("items.jsonl", kItem + "\n{\"endings\":[\"a\"]}\n");
    const Finished done = eval("hellaswag", {"--data", "items.jsonl", "--out", "result.json"});
    expect_refused(done, 3, {"items.jsonl:2", "1 endings, 4 are wanted"});
    EXPECT_FALSE(fs::exists(dir_.file("result.json")));
}

TEST_F(UseCli, LogitsAreWrittenForIdsTheModelKnows) {
    write("ids.json", "[72, 105]");
    const Finished done = eval("logits", {"--ids", "ids.json", "--out", "out.safetensors"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_EQ(SafetensorsFile(dir_.file("out.safetensors")).find("logits")->shape,
              (std::vector<int64_t>{2, 257}));

    const auto refused = [&](const char* ids, const Words& says) {
        write("ids.json", ids);
        expect_refused(eval("logits", {"--ids", "ids.json", "--out", "bad.safetensors"}), 3, says);
        EXPECT_FALSE(fs::exists(dir_.file("bad.safetensors")));
    };
    refused("[1, 2.5]", {"ids.json", "item 1", "2.5"});
    refused("[1, 2, 300]", {"ids.json: token 300 at position 2 is outside vocabulary 257"});
    refused("{\"a\":1}", {"ids.json", "list"});
}

// ------------------------------------------------------------------ convert

TEST_F(UseCli, ConvertWritesAModelThatSaysTheSame) {
    const Finished done = knlp({"convert", "--to", "hf", "--model", "m", "--out", "copy"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("model.safetensors"));
    EXPECT_EQ(knlp({"generate", "--model", "copy", "--prompt", "x", "-n", "9", "--greedy"}).out,
              generate({"--prompt", "x", "-n", "9", "--greedy"}).out);
    expect_refused(knlp({"convert", "--to", "hf", "--model", "m", "--out", "copy"}), 2,
                   {"copy", "--force"});
}

TEST_F(UseCli, ConvertListsTensors) {
    EXPECT_THAT(knlp({"convert", "--list", "m"}).out,
                HasSubstr("transformer.h.1.mlp.c_proj.weight"));
    const auto rows = json_of(knlp({"convert", "--list", "--model", "m", "--json"}));
    EXPECT_EQ(rows.size(), 28u);
    for (const char* key : {"name", "shape", "dtype", "role", "decay"})
        EXPECT_TRUE(rows[0].contains(key)) << key;
}

TEST_F(UseCli, WrongUseOfConvertIsRefused) {
    expect_refused(knlp({"convert", "--model", "m"}), 2, {"--to hf", "--list"});
    expect_refused(knlp({"convert", "--to", "onnx", "--model", "m", "--out", "x"}), 2,
                   {"--to", "hf"});
    expect_refused(knlp({"convert", "--to", "hf", "--model", "m", "--out", "/dev/null/x"}), 4,
                   {"/dev/null"});
}

TEST_F(UseCli, AFullDiskLeavesNoHalfExport) {
    // A file-size limit stands for a full disk: writing stops in the middle of the weights.
    const Finished done = test::run_shell(
        "trap '' XFSZ; ulimit -f 10; $KNLP convert --to hf --model m --out copy", dir_.path());
    expect_refused(done, 4, {"model.safetensors"});
    EXPECT_FALSE(fs::exists(dir_.file("copy")));
    EXPECT_EQ(std::distance(fs::directory_iterator(dir_.path()), {}), 1);
}

}  // namespace
}  // namespace knlp::model
