#include "tests/model/support.h"

#include "knlp/core/file.h"
#include "knlp/core/half.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/core/safetensors.h"
#include "knlp/model/weights.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>

namespace knlp::model {
namespace {

using test::expect_error;
using test::small_model;
using test::TempDir;

/// Weights of a wide spread, as the files of others may have.
Gpt2 wide_model(const config::Model& m, uint64_t seed = 1) {
    Gpt2 model(m);
    model.initialize(seed);
    at::NoGradGuard no_grad;
    for (Parameter& p : model.parameters()) p.value.mul_(15.0);
    return model;
}

bool same_weights(Gpt2& a, Gpt2& b) {
    for (size_t i = 0; i < a.parameters().size(); ++i)
        if (!at::equal(a.parameters()[i].value, b.parameters()[i].value)) return false;
    return true;
}

TEST(WeightDigests, AreOfShapeAndValuesWithoutPaddingRows) {
    config::Model m = small_model();
    m.pad_vocab = 64;
    Gpt2 model(m), same(m), other(m);
    for (Gpt2* one : {&model, &same}) one->initialize(1);
    other.initialize(2);
    const auto digests = weight_digests(model);
    EXPECT_EQ(digests.size(), model.parameters().size());
    EXPECT_EQ(digests, weight_digests(same));
    EXPECT_NE(digests.at("wte.weight"), weight_digests(other).at("wte.weight"));
    EXPECT_EQ(digests.at("ln_f.weight"), weight_digests(other).at("ln_f.weight"));

    const at::Tensor rows = model.find("wte.weight")->value.detach().narrow(0, 0, m.vocab_size);
    ASSERT_TRUE(rows.is_contiguous());
    const std::span bytes(static_cast<const std::byte*>(rows.const_data_ptr()), rows.nbytes());
    EXPECT_EQ(digests.at("wte.weight"),
              fmt::format("{}x{} {:016x}", m.vocab_size, m.d_model, xxh3(bytes)));
}

/// A tensor to be written from plain values.
struct Plain {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<float> values;
};

/// The tensors of a saved model, to be changed and written again.
std::vector<Plain> tensors_of(Gpt2& model, const std::string& prefix = "") {
    const TempDir directory;
    save_weights(directory.file("m.safetensors"), model, prefix, {});
    const SafetensorsFile file(directory.file("m.safetensors"));
    std::vector<Plain> all;
    for (const TensorView& view : file.tensors()) {
        const auto* values = reinterpret_cast<const float*>(view.bytes.data());
        all.push_back(
            {view.name, view.shape, {values, values + view.bytes.size() / sizeof(float)}});
    }
    return all;
}

void write(const std::filesystem::path& path, const std::vector<Plain>& all,
           Dtype dtype = Dtype::kF32) {
    std::vector<uint16_t> half;
    std::vector<TensorToWrite> tensors;
    for (const Plain& plain : all) {
        auto bytes = [&plain, &half, dtype]() -> std::span<const std::byte> {
            if (dtype == Dtype::kF32) return std::as_bytes(std::span(plain.values));
            half.clear();
            for (const float v : plain.values)
                half.push_back(dtype == Dtype::kF16 ? f32_to_f16(v) : f32_to_bf16(v));
            return std::as_bytes(std::span(half));
        };
        tensors.push_back({plain.name, dtype, plain.shape, bytes});
    }
    write_safetensors(path, std::move(tensors), {});
}

Plain* find(std::vector<Plain>& all, const std::string& name) {
    for (Plain& plain : all)
        if (plain.name == name) return &plain;
    return nullptr;
}

TEST(Weights, FilesUseHuggingFaceNamesAndOrientation) {
    Gpt2 model = wide_model(small_model());
    std::vector<Plain> all = tensors_of(model, "transformer.");
    const Plain* fc = find(all, "transformer.h.1.mlp.c_fc.weight");
    ASSERT_NE(fc, nullptr);
    EXPECT_EQ(fc->shape, (std::vector<int64_t>{16, 64}));
    // Stored input-major: element [in, out] of the file is [out, in] of ours.
    EXPECT_EQ(fc->values[3 * 64 + 40],
              model.find("h.1.mlp.c_fc.weight")->value[40][3].item<float>());
    EXPECT_EQ(find(all, "transformer.wte.weight")->shape, (std::vector<int64_t>{11, 16}));
    EXPECT_EQ(find(all, "lm_head.weight"), nullptr);
    EXPECT_EQ(all.size(), model.parameters().size());
}

TEST(Weights, ImportAndExportGiveIdenticalBytes) {
    const TempDir directory;
    for (const std::string prefix : {"", "transformer."}) {
        Gpt2 model = wide_model(small_model()), other(small_model());
        save_weights(directory.file("a.safetensors"), model, prefix, {});
        load_weights(directory.file("a.safetensors"), other);
        EXPECT_TRUE(same_weights(model, other));
        save_weights(directory.file("b.safetensors"), other, prefix, {});
        EXPECT_EQ(read_file(directory.file("a.safetensors")),
                  read_file(directory.file("b.safetensors")));
    }
}

TEST(Weights, HalfPrecisionFilesLoadAsTheirValues) {
    const TempDir directory;
    Gpt2 model = wide_model(small_model());
    const std::vector<Plain> all = tensors_of(model);
    for (const auto& [dtype, type] :
         {std::pair{Dtype::kF16, at::kHalf}, std::pair{Dtype::kBf16, at::kBFloat16}}) {
        write(directory.file("model.safetensors"), all, dtype);
        Gpt2 other(small_model());
        load_weights(directory.path(), other);
        for (size_t i = 0; i < model.parameters().size(); ++i)
            EXPECT_TRUE(at::equal(other.parameters()[i].value,
                                  model.parameters()[i].value.to(type).to(at::kFloat)))
                << model.parameters()[i].spec.name;
    }
}

TEST(Weights, ShardsAreFoundThroughTheirIndex) {
    const TempDir directory;
    Gpt2 model = wide_model(small_model()), other(small_model());
    const std::vector<Plain> all = tensors_of(model, "transformer.");
    const auto half = static_cast<int64_t>(all.size()) / 2;
    write(directory.file("model-00001-of-00002.safetensors"), {all.begin(), all.begin() + half});
    write(directory.file("model-00002-of-00002.safetensors"), {all.begin() + half, all.end()});
    nlohmann::json index;
    for (size_t i = 0; i < all.size(); ++i)
        index["weight_map"][all[i].name] = static_cast<int64_t>(i) < half
                                               ? "model-00001-of-00002.safetensors"
                                               : "model-00002-of-00002.safetensors";
    const auto file = directory.file("model.safetensors.index.json");
    write_file_atomic(file, index.dump());
    load_weights(directory.path(), other);
    EXPECT_TRUE(same_weights(model, other));

    std::string list;  // as sha256sum prints it
    for (const char* name : {"model.safetensors.index.json", "model-00001-of-00002.safetensors",
                             "model-00002-of-00002.safetensors"})
        list += sha256_file(directory.file(name)) + "  " + name + "\n";
    EXPECT_EQ(weights_sha256(directory.path()), sha256_hex(list));

    std::filesystem::remove(directory.file("model-00002-of-00002.safetensors"));
    expect_error(kData, {"shard model-00002-of-00002.safetensors is missing"},
                 [&] { load_weights(directory.path(), other); });
    index["weight_map"][all[0].name] = "../elsewhere.safetensors";
    write_file_atomic(file, index.dump());
    expect_error(kData, {all[0].name, "same directory"},
                 [&] { load_weights(directory.path(), other); });
}

TEST(Weights, MaskBuffersAreIgnored) {
    const TempDir directory;
    Gpt2 model = wide_model(small_model()), other(small_model());
    std::vector<Plain> all = tensors_of(model);
    all.push_back({"h.0.attn.bias", {1, 1, 2, 2}, {1, 0, 1, 1}});
    all.push_back({"h.1.attn.masked_bias", {}, {-1e4f}});
    write(directory.file("model.safetensors"), all);
    load_weights(directory.path(), other);
    EXPECT_TRUE(same_weights(model, other));
}

TEST(Weights, AHeadThatDiffersNeedsAnUntiedModel) {
    const TempDir directory;
    Gpt2 model = wide_model(small_model());
    std::vector<Plain> all = tensors_of(model);
    all.push_back(
        {"lm_head.weight", find(all, "wte.weight")->shape, find(all, "wte.weight")->values});
    write(directory.file("model.safetensors"), all);
    Gpt2 other(small_model());
    load_weights(directory.path(), other);  // equal to wte: tied all the same
    EXPECT_TRUE(same_weights(model, other));

    all.back().values[5] += 1.0f;
    write(directory.file("model.safetensors"), all);
    expect_error(kData, {"lm_head.weight differs from wte.weight", "--untie"},
                 [&] { load_weights(directory.path(), other); });
    config::Model untied = small_model();
    untied.weight_tying = false;
    Gpt2 two(untied);
    load_weights(directory.path(), two, true);
    EXPECT_EQ(two.find("lm_head.weight")->value.flatten()[5].item<float>(), all.back().values[5]);
}

TEST(Weights, AnUntiedModelTakesTheEmbeddingWhereNoHeadIsStored) {
    const TempDir directory;
    Gpt2 model = wide_model(small_model());
    save_weights(directory.file("model.safetensors"), model, "", {});
    config::Model untied = small_model();
    untied.weight_tying = false;
    Gpt2 two(untied);
    load_weights(directory.path(), two);
    EXPECT_TRUE(at::equal(two.find("lm_head.weight")->value, model.find("wte.weight")->value));
}

TEST(Weights, PaddingRowsStayOutOfFiles) {
    const TempDir directory;
    config::Model padded = small_model();
    padded.pad_vocab = 64;
    Gpt2 model = wide_model(padded), plain(small_model()), again(padded);
    save_weights(directory.file("model.safetensors"), model, "", {});
    load_weights(directory.path(), plain);
    EXPECT_TRUE(at::equal(plain.find("wte.weight")->value,
                          model.find("wte.weight")->value.narrow(0, 0, 11)));
    load_weights(directory.path(), again);
    EXPECT_TRUE(same_weights(model, again));
}

TEST(Weights, AModelWithoutBiasesIsExportedWithZeros) {
    config::Model bare = small_model();
    bare.bias = false;
    Gpt2 model = wide_model(bare);
    EXPECT_EQ(tensors_of(model).size(), model.parameters().size());
    std::vector<Plain> exported = tensors_of(model, "transformer.");
    const Plain* bias = find(exported, "transformer.h.0.attn.c_attn.bias");
    ASSERT_NE(bias, nullptr);
    EXPECT_EQ(bias->values, std::vector<float>(48, 0.0f));
}

// --- Bad input

TEST(WeightsBadInput, NamesAtMostFiveMissingAndUnknownTensors) {
    const TempDir directory;
    config::Model deep = small_model();
    deep.n_layer = 3;
    Gpt2 shallow = wide_model(small_model()), model(deep);
    std::vector<Plain> all = tensors_of(shallow);
    all.push_back({"h.0.attn.kv_down.weight", {1}, {0}});
    write(directory.file("model.safetensors"), all);
    const std::string text = expect_error(kData,
                                          {"12 tensor(s) missing: h.2.ln_1.weight", "and 7 more",
                                           "1 unknown: h.0.attn.kv_down.weight", "3 layers"},
                                          [&] { load_weights(directory.path(), model); });
    EXPECT_EQ(text.find("h.2.mlp.c_proj.bias"), std::string::npos) << text;
}

TEST(WeightsBadInput, NamesTheFirstShapeThatDiffers) {
    const TempDir directory;
    Gpt2 model = wide_model(small_model());
    config::Model longer = small_model();
    longer.n_ctx = 20;
    Gpt2 other(longer);
    save_weights(directory.file("model.safetensors"), model, "", {});
    expect_error(kData, {"model.safetensors", "'wpe.weight'", "[12, 16]", "[20, 16]"},
                 [&] { load_weights(directory.path(), other); });
}

TEST(WeightsBadInput, CheckFiniteNamesTensorAndByte) {
    const TempDir directory;
    Gpt2 model = wide_model(small_model()), other(small_model());
    std::vector<Plain> all = tensors_of(model);
    find(all, "h.1.ln_2.bias")->values[6] = std::numeric_limits<float>::quiet_NaN();
    write(directory.file("model.safetensors"), all);
    load_weights(directory.path(), other);  // taken as it is unless asked
    const SafetensorsFile file(directory.file("model.safetensors"));
    const int64_t byte = file.find("h.1.ln_2.bias")->file_offset + 6 * 4;
    expect_error(kData, {"'h.1.ln_2.bias'", "nan", "element 6", std::to_string(byte)},
                 [&] { load_weights(directory.path(), other, false, true); });
}

TEST(WeightsBadInput, OtherTypesAndEmptyDirectoriesAreRefused) {
    const TempDir directory;
    Gpt2 model = wide_model(small_model());
    expect_error(kData, {"neither model.safetensors nor model.safetensors.index.json"},
                 [&] { load_weights(directory.path(), model); });
    std::vector<TensorToWrite> tensors;
    const std::vector<std::byte> zeros(1 << 16);
    for (const ParameterSpec& spec : gpt2_parameters(small_model())) {
        std::vector<int64_t> shape = spec.shape;
        if (spec.conv1d) std::swap(shape[0], shape[1]);
        const auto bytes = static_cast<size_t>(element_count(spec)) * 4;
        tensors.push_back({spec.name, Dtype::kI32, shape,
                           [&zeros, bytes] { return std::span(zeros).first(bytes); }});
    }
    write_safetensors(directory.file("model.safetensors"), std::move(tensors), {});
    expect_error(kData, {"'wte.weight' is I32", "F32, F16 and BF16"},
                 [&] { load_weights(directory.path(), model); });
}

TEST(WeightsBadInput, ATruncatedFileIsRefusedBeforeAnythingIsLoaded) {
    const TempDir directory;
    Gpt2 model = wide_model(small_model()), other = wide_model(small_model(), 2),
         kept = wide_model(small_model(), 2);
    const auto path = directory.file("model.safetensors");
    save_weights(path, model, "", {});
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 10);
    expect_error(kData, {"model.safetensors"}, [&] { load_weights(directory.path(), other); });
    EXPECT_TRUE(same_weights(other, kept));
}

}  // namespace
}  // namespace knlp::model
