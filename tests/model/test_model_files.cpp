#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/model/model_files.h"
#include "knlp/model/model_json.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace knlp::model {
namespace {

using nlohmann::json;
using test::expect_error;
using test::TempDir;

// --- config.json of Hugging Face

json published() {
    return {{"model_type", "gpt2"},
            {"n_layer", 12},
            {"n_head", 12},
            {"n_embd", 768},
            {"n_positions", 1024},
            {"vocab_size", 50257},
            {"layer_norm_epsilon", 1e-5},
            {"activation_function", "gelu_new"},
            {"n_inner", nullptr}};
}

config::Model read(const json& values) {
    const TempDir directory;
    write_file_atomic(directory.file("config.json"), values.dump());
    return read_hf_config(directory.path());
}

TEST(HfConfig, ReadsThePublishedKeys) {
    const config::Model m = read(published());
    EXPECT_EQ(m.n_layer, 12);
    EXPECT_EQ(m.n_head, 12);
    EXPECT_EQ(m.d_model, 768);
    EXPECT_EQ(m.n_ctx, 1024);
    EXPECT_EQ(m.vocab_size, 50257);
    EXPECT_EQ(m.gelu, config::Gelu::kTanh);
    EXPECT_TRUE(m.bias && m.weight_tying);
}

TEST(HfConfig, OlderAndOtherSpellingsAreUnderstood) {
    json values = published();
    values.erase("n_positions");
    values["n_ctx"] = 512;
    values["activation_function"] = "gelu";
    values["n_inner"] = 3072;
    values["tie_word_embeddings"] = false;
    const config::Model m = read(values);
    EXPECT_EQ(m.n_ctx, 512);
    EXPECT_EQ(m.gelu, config::Gelu::kErf);
    EXPECT_FALSE(m.weight_tying);
}

TEST(HfConfig, WhatItWritesItReads) {
    config::Model m;
    m.n_layer = 3;
    m.n_head = 4;
    m.d_model = 64;
    m.n_ctx = 77;
    m.vocab_size = 300;
    m.dropout = 0.25;
    m.gelu = config::Gelu::kErf;
    m.weight_tying = false;
    m.layer_norm_epsilon = 1e-6;
    const TempDir directory;
    write_hf_config(directory.path(), m, 256);
    const config::Model back = read_hf_config(directory.path());
    json a = m, b = back;
    a["size"] = b["size"];
    EXPECT_EQ(a, b);
    EXPECT_EQ(read_json(directory.file("config.json")).at("eos_token_id"), 256);
}

TEST(HfConfigBadInput, NamesKeyAndValue) {
    struct Case {
        const char* key;
        json value;
        const char* text;
    };
    for (const Case& c :
         {Case{"activation_function", "relu", "'relu'"}, Case{"n_layer", "12", "an integer"},
          Case{"n_layer", 0, "n_layer is 0"}, Case{"n_head", 7, "7 heads"},
          Case{"n_embd", 1 << 30, "d_model"}, Case{"n_inner", 1000, "3072"},
          Case{"model_type", "gpt_neox", "gpt_neox"}, Case{"vocab_size", -1, "vocab_size is -1"},
          Case{"layer_norm_epsilon", "small", "a number"}, Case{"layer_norm_epsilon", 0, "epsilon"},
          Case{"scale_attn_weights", false, "scale_attn_weights"},
          Case{"scale_attn_by_inverse_layer_idx", true, "not supported"},
          Case{"n_positions", 1.5, "an integer"}}) {
        json values = published();
        values[c.key] = c.value;
        expect_error(kData, {"config.json", c.text}, [&] { read(values); });
    }
    json values = published();
    values.erase("n_embd");
    expect_error(kData, {"config.json", "'n_embd' is missing"}, [&] { read(values); });
    expect_error(kData, {"an object"}, [&] { read(json::array()); });
}

// --- The model object of state.json

TEST(ModelJson, EveryFieldSurvives) {
    config::Model m;
    m.name = "n";
    m.size = "custom";
    m.n_layer = 2;
    m.n_head = 3;
    m.d_model = 9;
    m.n_ctx = 5;
    m.vocab_size = 7;
    m.pad_vocab = 64;
    m.dropout = 0.3;
    m.bias = false;
    m.weight_tying = false;
    m.gelu = config::Gelu::kErf;
    m.attention_backend = config::AttentionBackend::kReference;
    m.layer_norm_epsilon = 1e-4;
    m.loss_chunk = 12;
    const json values = m;
    EXPECT_EQ(values.size(), 16u);
    EXPECT_EQ(json(json::parse(values.dump()).get<config::Model>()), values);
}

TEST(ModelJson, BadValuesNameTheirKey) {
    const json good = config::Model();
    for (const auto& [key, value] : {std::pair<const char*, json>{"n_layer", "2"},
                                     {"n_layer", 1e9},
                                     {"n_head", 5},
                                     {"dropout", 1.0},
                                     {"gelu", "relu"},
                                     {"bias", 1},
                                     {"attention_backend", "x"},
                                     {"vocab_size", uint64_t{1} << 63},
                                     {"loss_chunk", -1},
                                     {"extra", 1}}) {
        json values = good;
        values[key] = value;
        expect_error(kData, {std::string(key) == "n_head" ? "5 heads" : key},
                     [&] { values.get<config::Model>(); });
    }
}

// --- Finding a model

/// A checkpoint directory with a manifest that lists state.json and an empty model file.
void make_checkpoint(const std::filesystem::path& path, int64_t best_step) {
    std::filesystem::create_directories(path);
    const json state = {
        {"model", config::Model()}, {"best_step", best_step}, {"tokenizer", "../../tokenizer"}};
    write_file_atomic(path / "state.json", state.dump());
    write_file_atomic(path / "model.safetensors", "weights");
    json manifest;
    for (const char* name : {"state.json", "model.safetensors"})
        manifest["files"].push_back(
            {{"name", name}, {"bytes", std::filesystem::file_size(path / name)}});
    write_file_atomic(path / "MANIFEST.json", manifest.dump());
}

class FindModel : public testing::Test {
protected:
    TempDir directory;
    std::filesystem::path run = directory.file("run");
    std::filesystem::path checkpoint(const char* name) const { return run / "checkpoints" / name; }
    void SetUp() override {
        std::filesystem::create_directories(run / "tokenizer");
        make_checkpoint(checkpoint("step-00000010"), 10);
        make_checkpoint(checkpoint("step-00000020"), 10);
        make_checkpoint(checkpoint("step-00000030"), 20);
    }
};

TEST_F(FindModel, ARunGivesItsBestCheckpoint) {
    const ModelSource found = find_model(run);
    EXPECT_EQ(found.kind, ModelSource::Kind::kRun);
    EXPECT_EQ(found.weights, checkpoint("step-00000020") / "model.safetensors");
    EXPECT_TRUE(std::filesystem::equivalent(found.tokenizer, run / "tokenizer"));
    EXPECT_EQ(found.model.d_model, 768);
}

TEST_F(FindModel, WithoutTheBestTheNewestCompleteOneIsTaken) {
    std::filesystem::remove_all(checkpoint("step-00000020"));
    EXPECT_EQ(find_model(run).weights, checkpoint("step-00000030") / "model.safetensors");
    write_file_atomic(checkpoint("step-00000030") / "model.safetensors", "cut");
    EXPECT_EQ(find_model(run).weights, checkpoint("step-00000010") / "model.safetensors");
    std::filesystem::remove(checkpoint("step-00000010") / "MANIFEST.json");
    expect_error(kData, {"no complete checkpoint"}, [&] { find_model(run); });
}

TEST_F(FindModel, ACheckpointIsTakenAsItIs) {
    const ModelSource found = find_model(checkpoint("step-00000010"));
    EXPECT_EQ(found.kind, ModelSource::Kind::kCheckpoint);
    EXPECT_EQ(found.weights, checkpoint("step-00000010") / "model.safetensors");
    EXPECT_TRUE(std::filesystem::equivalent(found.tokenizer, run / "tokenizer"));
}

TEST_F(FindModel, AHuggingFaceDirectoryBringsItsTokenizer) {
    const TempDir other;
    write_file_atomic(other.file("config.json"), published().dump());
    EXPECT_TRUE(find_model(other.path()).tokenizer.empty());
    write_file_atomic(other.file("vocab.json"), "{}");
    write_file_atomic(other.file("merges.txt"), "");
    const ModelSource found = find_model(other.path());
    EXPECT_EQ(found.kind, ModelSource::Kind::kHuggingFace);
    EXPECT_EQ(found.weights, other.path());
    EXPECT_EQ(found.tokenizer, other.path());
}

TEST_F(FindModel, AnythingElseIsRefusedWithWhatWasLookedFor) {
    expect_error(kData, {"no such directory"}, [&] { find_model(directory.file("nowhere")); });
    expect_error(kData, {"not a model", "state.json", "config.json"},
                 [&] { find_model(directory.path()); });
    write_file_atomic(checkpoint("step-00000010") / "state.json",
                      R"({"model": {"n_layer": "two"}})");
    expect_error(kData, {"state.json", "n_layer"},
                 [&] { find_model(checkpoint("step-00000010")); });
}

}  // namespace
}  // namespace knlp::model
