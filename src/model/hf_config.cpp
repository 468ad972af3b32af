#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/model/model_files.h"
#include "knlp/model/model_json.h"

#include <nlohmann/json.hpp>

namespace knlp::model {

namespace {

using nlohmann::json;

/// config.json and where it lies, for errors that name key and value.
struct HfConfig {
    json values;
    std::string path;

    const json* find(const char* key) const {
        const auto found = values.find(key);
        return found == values.end() || found->is_null() ? nullptr : &*found;
    }
    int64_t integer(const char* key, const json* value) const {
        if (value == nullptr) fail(kData, "{}: key '{}' is missing", path, key);
        if (!value->is_number_integer())
            fail(kData, "{}: '{}' is {}, an integer is needed", path, key, value->dump());
        return value->get<int64_t>();
    }
    int64_t integer(const char* key) const { return integer(key, find(key)); }
    double number(const char* key, double otherwise) const {
        const json* value = find(key);
        if (value == nullptr) return otherwise;
        if (!value->is_number())
            fail(kData, "{}: '{}' is {}, a number is needed", path, key, value->dump());
        return value->get<double>();
    }
    bool truth(const char* key, bool otherwise) const {
        const json* value = find(key);
        if (value == nullptr) return otherwise;
        if (!value->is_boolean())
            fail(kData, "{}: '{}' is {}, true or false is needed", path, key, value->dump());
        return value->get<bool>();
    }
    std::string text(const char* key, const char* otherwise) const {
        const json* value = find(key);
        if (value == nullptr) return otherwise;
        if (!value->is_string())
            fail(kData, "{}: '{}' is {}, a string is needed", path, key, value->dump());
        return value->get<std::string>();
    }
};

config::Gelu gelu_of(const HfConfig& c) {
    const std::string name = c.text("activation_function", "gelu_new");
    if (name == "gelu_new") return config::Gelu::kTanh;
    if (name == "gelu") return config::Gelu::kErf;
    fail(kData, "{}: 'activation_function' is '{}'; knlp has gelu_new (tanh) and gelu (erf)",
         c.path, name);
}

/// What would change the numbers and is not implemented.
void refuse_variants(const HfConfig& c, const config::Model& m) {
    const std::string type = c.text("model_type", "gpt2");
    if (type != "gpt2")
        fail(kData, "{}: 'model_type' is '{}'; only gpt2 can be loaded", c.path, type);
    const json* inner = c.find("n_inner");
    if (inner != nullptr && c.integer("n_inner") != 4 * m.d_model)
        fail(kData, "{}: 'n_inner' is {}; expected null or 4 n_embd = {}", c.path, inner->dump(),
             4 * m.d_model);
    if (!c.truth("scale_attn_weights", true))
        fail(kData, "{}: 'scale_attn_weights' is false; scores are always divided by sqrt(d_head)",
             c.path);
    if (c.truth("scale_attn_by_inverse_layer_idx", false))
        fail(kData, "{}: 'scale_attn_by_inverse_layer_idx' is true; this scaling is not supported",
             c.path);
    if (c.truth("add_cross_attention", false))
        fail(kData, "{}: 'add_cross_attention' is true; only decoders without it can be loaded",
             c.path);
}

}  // namespace

config::Model read_hf_config(const std::filesystem::path& directory) {
    const std::filesystem::path file = directory / "config.json";
    const HfConfig c = {read_json(file, int64_t{1} << 24), file.string()};
    if (!c.values.is_object())
        fail(kData, "{}: an object is needed, found {}", c.path, c.values.type_name());
    config::Model m;
    m.name = "gpt2";
    m.size = "custom";
    m.n_layer = c.integer("n_layer");
    m.n_head = c.integer("n_head");
    m.d_model = c.integer("n_embd");
    m.n_ctx = c.find("n_positions") != nullptr ? c.integer("n_positions") : c.integer("n_ctx");
    m.vocab_size = c.integer("vocab_size");
    m.pad_vocab = 1;
    m.layer_norm_epsilon = c.number("layer_norm_epsilon", 1e-5);
    m.dropout = c.number("resid_pdrop", 0.1);
    m.gelu = gelu_of(c);
    m.bias = true;
    m.weight_tying = c.truth("tie_word_embeddings", true);
    check_sizes(m, c.path);
    refuse_variants(c, m);
    return m;
}

void write_hf_config(const std::filesystem::path& directory, const config::Model& m, int64_t eot) {
    const json values = {
        {"architectures", {"GPT2LMHeadModel"}},
        {"model_type", "gpt2"},
        {"n_layer", m.n_layer},
        {"n_head", m.n_head},
        {"n_embd", m.d_model},
        {"n_positions", m.n_ctx},
        {"n_ctx", m.n_ctx},
        {"n_inner", nullptr},
        {"vocab_size", m.vocab_size},
        {"activation_function", m.gelu == config::Gelu::kTanh ? "gelu_new" : "gelu"},
        {"layer_norm_epsilon", m.layer_norm_epsilon},
        {"attn_pdrop", m.dropout},
        {"embd_pdrop", m.dropout},
        {"resid_pdrop", m.dropout},
        {"initializer_range", 0.02},
        {"bos_token_id", eot < 0 ? json() : json(eot)},
        {"eos_token_id", eot < 0 ? json() : json(eot)},
        {"tie_word_embeddings", m.weight_tying},
        {"torch_dtype", "float32"}};
    write_file_atomic(directory / "config.json", pretty_json(values));
}

}  // namespace knlp::model
