#include "knlp/model/model_json.h"

#include "knlp/core/error.h"

#include <nlohmann/json.hpp>

namespace knlp::config {

namespace {

const char* text_of(Gelu gelu) {
    return gelu == Gelu::kTanh ? "tanh" : "erf";
}

const char* text_of(AttentionBackend backend) {
    switch (backend) {
        case AttentionBackend::kAuto:
            return "auto";
        case AttentionBackend::kFused:
            return "fused";
        case AttentionBackend::kReference:
            return "reference";
    }
    return "";
}

int64_t integer(const nlohmann::json& value, const std::string& key) {
    if (!value.is_number_integer() ||
        (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX))
        fail(kData, "model: '{}' is {}, an integer is needed", key, value.dump());
    return value.get<int64_t>();
}

double number(const nlohmann::json& value, const std::string& key) {
    if (!value.is_number()) fail(kData, "model: '{}' is {}, a number is needed", key, value.dump());
    return value.get<double>();
}

bool truth(const nlohmann::json& value, const std::string& key) {
    if (!value.is_boolean())
        fail(kData, "model: '{}' is {}, true or false is needed", key, value.dump());
    return value.get<bool>();
}

std::string word(const nlohmann::json& value, const std::string& key) {
    if (!value.is_string()) fail(kData, "model: '{}' is {}, a string is needed", key, value.dump());
    return value.get<std::string>();
}

Gelu gelu_of(const std::string& text) {
    if (text == "tanh") return Gelu::kTanh;
    if (text == "erf") return Gelu::kErf;
    fail(kData, "model: 'gelu' is '{}', tanh or erf is needed", text);
}

AttentionBackend backend_of(const std::string& text) {
    for (const auto backend :
         {AttentionBackend::kAuto, AttentionBackend::kFused, AttentionBackend::kReference})
        if (text == text_of(backend)) return backend;
    fail(kData, "model: 'attention_backend' is '{}', auto, fused or reference is needed", text);
}

}  // namespace

void to_json(nlohmann::json& json, const Model& m) {
    json = {{"name", m.name},
            {"size", m.size},
            {"attention", m.attention},
            {"n_layer", m.n_layer},
            {"n_head", m.n_head},
            {"d_model", m.d_model},
            {"n_ctx", m.n_ctx},
            {"vocab_size", m.vocab_size},
            {"pad_vocab", m.pad_vocab},
            {"dropout", m.dropout},
            {"bias", m.bias},
            {"weight_tying", m.weight_tying},
            {"gelu", text_of(m.gelu)},
            {"attention_backend", text_of(m.attention_backend)},
            {"layer_norm_epsilon", m.layer_norm_epsilon},
            {"loss_chunk", m.loss_chunk}};
}

void from_json(const nlohmann::json& json, Model& m) {
    if (!json.is_object()) fail(kData, "model: an object is needed, found {}", json.type_name());
    for (const auto& [key, value] : json.items()) {
        if (key == "name")
            m.name = word(value, key);
        else if (key == "size")
            m.size = word(value, key);
        else if (key == "attention")
            m.attention = word(value, key);
        else if (key == "n_layer")
            m.n_layer = integer(value, key);
        else if (key == "n_head")
            m.n_head = integer(value, key);
        else if (key == "d_model")
            m.d_model = integer(value, key);
        else if (key == "n_ctx")
            m.n_ctx = integer(value, key);
        else if (key == "vocab_size")
            m.vocab_size = integer(value, key);
        else if (key == "pad_vocab")
            m.pad_vocab = integer(value, key);
        else if (key == "dropout")
            m.dropout = number(value, key);
        else if (key == "bias")
            m.bias = truth(value, key);
        else if (key == "weight_tying")
            m.weight_tying = truth(value, key);
        else if (key == "gelu")
            m.gelu = gelu_of(word(value, key));
        else if (key == "attention_backend")
            m.attention_backend = backend_of(word(value, key));
        else if (key == "layer_norm_epsilon")
            m.layer_norm_epsilon = number(value, key);
        else if (key == "loss_chunk")
            m.loss_chunk = integer(value, key);
        else
            fail(kData, "model: key '{}' is unknown; was this written by a newer knlp?", key);
    }
    model::check_sizes(m, "model");
}

}  // namespace knlp::config

namespace knlp::model {

void check_sizes(const config::Model& m, const std::string& where) {
    struct Bound {
        const char* name;
        int64_t value, most;
    };
    for (const Bound& b :
         {Bound{"n_layer", m.n_layer, 1024}, Bound{"n_head", m.n_head, 4096},
          Bound{"d_model", m.d_model, 65536}, Bound{"n_ctx", m.n_ctx, 1 << 20},
          Bound{"vocab_size", m.vocab_size, 1 << 24}, Bound{"pad_vocab", m.pad_vocab, 1 << 20}})
        if (b.value < 1 || b.value > b.most)
            fail(kData, "{}: {} is {}, expected 1 to {}", where, b.name, b.value, b.most);
    if (m.d_model % m.n_head != 0)
        fail(kData, "{}: width {} does not divide into {} heads", where, m.d_model, m.n_head);
    if (!(m.dropout >= 0 && m.dropout < 1))
        fail(kData, "{}: dropout is {}, expected 0 or more and below 1", where, m.dropout);
    if (!(m.layer_norm_epsilon > 0 && m.layer_norm_epsilon < 1))
        fail(kData, "{}: layer_norm_epsilon is {}, expected more than 0 and below 1", where,
             m.layer_norm_epsilon);
    if (m.loss_chunk < 0)
        fail(kData, "{}: loss_chunk is {}, expected 0 or more", where, m.loss_chunk);
}

}  // namespace knlp::model
