#include "knlp/model/convert.h"

#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/core/safetensors.h"
#include "knlp/core/signals.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/generation.h"
#include "knlp/model/loaded_model.h"
#include "knlp/model/weights.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"
#include "tests/use/toy_model.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>

namespace knlp::model {
namespace {

namespace fs = std::filesystem;
using test::toy_model;

class Convert : public testing::Test {
protected:
    void SetUp() override {
        fs::create_directories(model_ / "tokenizer");
        save_weights(model_ / "model.safetensors", gpt2_, "transformer.", {});
        write_hf_config(model_, gpt2_.config(), 256);
        data::make_byte_tokenizer()->save(model_ / "tokenizer");
    }
    /// Name -> SHA-256 of everything below.
    static std::map<std::string, std::string> hashes(const fs::path& directory) {
        std::map<std::string, std::string> found;
        for (const auto& entry : fs::recursive_directory_iterator(directory))
            if (entry.is_regular_file())
                found[relative(entry.path(), directory).string()] =
                    sha256_hex(read_file(entry.path()));
        return found;
    }
    /// Entries beside the result: nothing temporary may stay.
    size_t entries() const {
        return static_cast<size_t>(std::distance(fs::directory_iterator(dir_.path()), {}));
    }

    test::TempDir dir_;
    const fs::path model_ = dir_.file("model"), out_ = dir_.file("out");
    Gpt2 gpt2_ = toy_model();
};

TEST_F(Convert, ExportOfAnImportIsIdentical) {
    export_hugging_face({.model = model_, .out = out_});
    EXPECT_EQ(hashes(out_).at("model.safetensors"), hashes(model_).at("model.safetensors"));
    const fs::path again = dir_.file("again");
    export_hugging_face({.model = out_, .out = again});
    EXPECT_EQ(hashes(again), hashes(out_));
    EXPECT_EQ(entries(), 3u);
}

TEST_F(Convert, WritesTheFilesTransformersReads) {
    const ExportSummary summary = export_hugging_face({.model = model_, .out = out_});
    EXPECT_EQ(summary.tokenizer, "byte");
    EXPECT_EQ(summary.files, (std::vector<std::string>{"config.json", "model.safetensors",
                                                       "tokenizer/tokenizer.json"}));
    const nlohmann::json config = read_json(out_ / "config.json");
    EXPECT_EQ(config["architectures"][0], "GPT2LMHeadModel");
    EXPECT_EQ(config["eos_token_id"], 256);
    const SafetensorsFile file(out_ / "model.safetensors");
    EXPECT_EQ(file.metadata().at("format"), "pt");
    for (const TensorView& tensor : file.tensors())
        EXPECT_TRUE(tensor.name.starts_with("transformer."));
    // Conv1D keeps [in, out].
    EXPECT_EQ(file.find("transformer.h.0.attn.c_attn.weight")->shape,
              (std::vector<int64_t>{16, 48}));
}

TEST_F(Convert, TheCopySaysTheSame) {
    export_hugging_face({.model = model_, .out = out_});
    const GenerationOptions options{.sampling = {.temperature = 0}, .max_tokens = 10};
    LoadedModel first({.path = model_, .device = "cpu", .threads = 1});
    LoadedModel second({.path = out_, .device = "cpu", .threads = 1});
    EXPECT_EQ(generate_text(first.gpt2(), first.tokenizer(), "text", options),
              generate_text(second.gpt2(), second.tokenizer(), "text", options));
}

TEST_F(Convert, ASignalLeavesNothing) {
    request_stop(15);
    EXPECT_THROW(export_hugging_face({.model = model_, .out = out_}), Stopped);
    EXPECT_THROW(export_llmc({.model = model_, .out = out_}), Stopped);
    clear_stop();
    EXPECT_EQ(entries(), 1u);
    EXPECT_NO_THROW(export_hugging_face({.model = model_, .out = out_}));
}

TEST_F(Convert, NeverReplacesWithoutForce) {
    export_hugging_face({.model = model_, .out = out_});
    const auto before = hashes(out_);
    test::expect_error(kUsage, {"out: exists", "--force"},
                       [&] { export_hugging_face({.model = model_, .out = out_}); });
    write_file_atomic(dir_.file("file"), "text");
    test::expect_error(kUsage, {"not a directory"}, [&] {
        export_hugging_face({.model = model_, .out = dir_.file("file"), .force = true});
    });
    EXPECT_EQ(hashes(out_), before);
    EXPECT_EQ(entries(), 3u);
}

TEST_F(Convert, ForceReplacesAModelButNothingElse) {
    export_hugging_face({.model = model_, .out = out_});
    write_file_atomic(out_ / "stale", "text");
    export_hugging_face({.model = model_, .out = out_, .force = true});
    EXPECT_FALSE(fs::exists(out_ / "stale"));
    EXPECT_EQ(entries(), 2u);

    fs::create_directory(dir_.file("home"));
    write_file_atomic(dir_.file("home") / "letter", "dear");
    test::expect_error(kUsage, {"not a model directory"}, [&] {
        export_hugging_face({.model = model_, .out = dir_.file("home"), .force = true});
    });
    EXPECT_EQ(read_file(dir_.file("home") / "letter"), "dear");
}

TEST_F(Convert, AnEmptyDirectoryMayBeFilled) {
    fs::create_directory(out_);
    export_hugging_face({.model = model_, .out = out_ / ""});
    EXPECT_TRUE(fs::exists(out_ / "model.safetensors"));
}

TEST_F(Convert, ABadModelLeavesNothingBehind) {
    fs::resize_file(model_ / "model.safetensors", fs::file_size(model_ / "model.safetensors") - 1);
    test::expect_error(kData, {"model.safetensors"},
                       [&] { export_hugging_face({.model = model_, .out = out_}); });
    EXPECT_FALSE(fs::exists(out_));
    EXPECT_EQ(entries(), 1u);
}

TEST_F(Convert, NotFiniteWeightsAreRefusedOnRequest) {
    {
        const at::NoGradGuard no_grad;
        gpt2_.find("h.1.mlp.c_fc.weight")->value[3][5] = NAN;
    }
    save_weights(model_ / "model.safetensors", gpt2_, "transformer.", {});
    test::expect_error(kData, {"h.1.mlp.c_fc.weight", "nan", "byte"}, [&] {
        export_hugging_face({.model = model_, .out = out_, .check_finite = true});
    });
    EXPECT_FALSE(fs::exists(out_));
    EXPECT_NO_THROW(export_hugging_face({.model = model_, .out = out_}));
}

TEST_F(Convert, ListNamesEveryTensorWithItsGroup) {
    const std::vector<TensorRow> rows = list_tensors(model_);
    EXPECT_EQ(rows.size(), 2u + 2 * 12 + 2);
    std::map<std::string, TensorRow> by_name;
    for (const TensorRow& row : rows) by_name[row.name] = row;
    EXPECT_TRUE(by_name.at("transformer.h.0.attn.c_attn.weight").decay);
    EXPECT_FALSE(by_name.at("transformer.h.0.attn.c_attn.bias").decay);
    EXPECT_FALSE(by_name.at("transformer.wte.weight").decay);
    EXPECT_FALSE(by_name.at("transformer.ln_f.weight").decay);
    EXPECT_EQ(by_name.at("transformer.wte.weight").dtype, "F32");
    EXPECT_EQ(by_name.at("transformer.wte.weight").shape, (std::vector<int64_t>{257, 16}));
    EXPECT_EQ(by_name.at("transformer.wte.weight").role, "embedding.token");
    EXPECT_EQ(by_name.at("transformer.wte.weight").file, "model.safetensors");
}

TEST_F(Convert, AMissingModelSaysWhatWasLookedFor) {
    test::expect_error(kData, {"nothing", "no such directory"},
                       [&] { export_hugging_face({.model = dir_.file("nothing"), .out = out_}); });
    fs::create_directory(dir_.file("empty"));
    test::expect_error(kData, {"empty", "config.json"}, [&] { list_tensors(dir_.file("empty")); });
}

TEST(LoadedModel, AskingForAMissingTokenizerSaysHowToNameOne) {
    test::TempDir dir;
    Gpt2 gpt2 = toy_model();
    save_weights(dir.file("model.safetensors"), gpt2, "transformer.", {});
    write_hf_config(dir.path(), gpt2.config(), 256);
    LoadedModel model({.path = dir.path(), .device = "cpu", .threads = 1});
    EXPECT_FALSE(model.has_tokenizer());
    test::expect_error(kUsage, {"--tokenizer"}, [&] { model.tokenizer(); });
    EXPECT_EQ(model.run_directory(), fs::path());
}

TEST(LoadedModel, ATokenizerWithMoreIdsThanTheModelIsRefused) {
    test::TempDir dir;
    config::Model small = test::toy_config();
    small.vocab_size = 100;
    Gpt2 gpt2 = toy_model(1, 8, small);
    save_weights(dir.file("model.safetensors"), gpt2, "transformer.", {});
    write_hf_config(dir.path(), gpt2.config(), -1);
    data::make_byte_tokenizer()->save(dir.path());
    test::expect_error(kData, {"257 ids", "has 100"},
                       [&] { LoadedModel({.path = dir.path(), .device = "cpu", .threads = 1}); });
}

// --- llm.c

/// A checkpoint of llm.c read as its documentation says, knowing nothing of how it was written.
struct LlmcFile {
    explicit LlmcFile(const fs::path& path) {
        const std::string bytes = read_file(path);
        header.resize(256);
        std::memcpy(header.data(), bytes.data(), 1024);
        floats.resize((bytes.size() - 1024) / 4);
        std::memcpy(floats.data(), bytes.data() + 1024, floats.size() * 4);
    }
    std::vector<int32_t> header;
    std::vector<float> floats;
};

TEST_F(Convert, LlmcHeaderTellsTheSizes) {
    const ExportSummary summary = export_llmc({.model = model_, .out = dir_.file("gpt2.bin")});
    const config::Model& m = gpt2_.config();
    const LlmcFile file(dir_.file("gpt2.bin"));
    const std::vector<int64_t> wanted = {20240326,  3,        m.n_ctx,   m.vocab_size,
                                         m.n_layer, m.n_head, m.d_model, 384};
    EXPECT_EQ(std::vector<int64_t>(file.header.begin(), file.header.begin() + 8), wanted);
    EXPECT_TRUE(
        std::all_of(file.header.begin() + 8, file.header.end(), [](int v) { return v == 0; }));
    const int64_t numbers = parameter_count(m) + (384 - m.vocab_size) * m.d_model;
    EXPECT_EQ(std::ssize(file.floats), numbers);
    EXPECT_EQ(summary.bytes, 1024 + 4 * numbers);
    EXPECT_EQ(summary.files, std::vector<std::string>{"gpt2.bin"});
}

TEST_F(Convert, LlmcTensorsLieInItsOrder) {
    export_llmc({.model = model_, .out = dir_.file("gpt2.bin")});
    const LlmcFile file(dir_.file("gpt2.bin"));
    const config::Model& m = gpt2_.config();
    size_t at = 0;
    const auto expect_next = [&](const std::string& name) {
        const at::Tensor value = gpt2_.find(name)->value.detach().contiguous();
        const auto n = static_cast<size_t>(value.numel());
        ASSERT_LE(at + n, file.floats.size()) << name;
        EXPECT_EQ(std::memcmp(value.const_data_ptr(), file.floats.data() + at, 4 * n), 0) << name;
        at += n;
    };
    expect_next("wte.weight");
    for (int64_t i = 0; i < (384 - m.vocab_size) * m.d_model; ++i)
        ASSERT_EQ(file.floats[at++], 0.0f) << "padding rows";
    expect_next("wpe.weight");
    for (const char* kind :
         {"ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias",
          "attn.c_proj.weight", "attn.c_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight",
          "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"})
        for (int64_t layer = 0; layer < m.n_layer; ++layer)
            expect_next("h." + std::to_string(layer) + "." + kind);
    expect_next("ln_f.weight");
    expect_next("ln_f.bias");
    EXPECT_EQ(at, file.floats.size());
}

TEST_F(Convert, LlmcReplacesOnlyItsOwnAndOnlyWhenAsked) {
    const fs::path file = dir_.file("gpt2.bin"), other = dir_.file("notes.txt");
    export_llmc({.model = model_, .out = file});
    const std::string before = read_file(file);
    test::expect_error(kUsage, {"gpt2.bin", "--force"},
                       [&] { export_llmc({.model = model_, .out = file}); });
    export_llmc({.model = model_, .out = file, .force = true});
    EXPECT_EQ(read_file(file), before);
    write_file_atomic(other, "keep me");
    test::expect_error(kUsage, {"notes.txt", "no checkpoint of llm.c"},
                       [&] { export_llmc({.model = model_, .out = other, .force = true}); });
    test::expect_error(kUsage, {"not a file"},
                       [&] { export_llmc({.model = model_, .out = dir_.path(), .force = true}); });
    EXPECT_EQ(read_file(other), "keep me");
}

TEST_F(Convert, LlmcRefusesWhatItWouldComputeDifferently) {
    for (const auto& [change, text] : std::vector<std::pair<nlohmann::json, std::string>>{
             {{{"activation_function", "gelu"}}, "tanh"},
             {{{"tie_word_embeddings", false}}, "ties it"},
             {{{"layer_norm_epsilon", 1e-6}}, "epsilon"}}) {
        write_hf_config(model_, gpt2_.config(), 256);
        nlohmann::json config = read_json(model_ / "config.json");
        config.update(change);
        write_file_atomic(model_ / "config.json", config.dump());
        test::expect_error(kData, {text}, [&] { export_llmc({.model = model_, .out = out_}); });
        EXPECT_FALSE(fs::exists(out_));
    }
}

}  // namespace
}  // namespace knlp::model
