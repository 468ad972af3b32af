#include "shape.h"

#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/model/gpt2.h"
#include "state.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace knlp::train {

namespace {

constexpr size_t kMaxNamed = 5;  // differences an error lists

const char* name_of(config::Gelu gelu) {
    return gelu == config::Gelu::kTanh ? "tanh" : "erf";
}

std::vector<std::string> differing_fields(const config::Model& have, const config::Model& want,
                                          Head head) {
    std::vector<std::string> texts;
    const auto same = [&texts](const char* field, const auto& there, const auto& here) {
        if (there != here)
            texts.push_back(fmt::format("{} is {} there and {} here", field, there, here));
    };
    const std::string have_gelu = name_of(have.gelu), want_gelu = name_of(want.gelu);
    same("attention", have.attention, want.attention);
    same("n_layer", have.n_layer, want.n_layer);
    same("n_head", have.n_head, want.n_head);
    same("d_model", have.d_model, want.d_model);
    same("n_ctx", have.n_ctx, want.n_ctx);
    same("vocab_size", have.vocab_size, want.vocab_size);
    same("bias", have.bias, want.bias);
    if (head == Head::kSame) same("weight_tying", have.weight_tying, want.weight_tying);
    same("GELU", have_gelu, want_gelu);
    return texts;
}

/// Shapes by name and the names in the model's order, without the rows that pad the vocabulary.
struct Tensors {
    std::vector<std::string> names;
    std::map<std::string, std::string> shapes;

    explicit Tensors(config::Model model) {
        model.pad_vocab = 1;
        for (const model::ParameterSpec& spec : model::gpt2_parameters(model)) {
            names.push_back(spec.name);
            shapes[spec.name] = fmt::format("[{}]", fmt::join(spec.shape, ", "));
        }
    }
    std::string shape(const std::string& name) const {
        const auto found = shapes.find(name);
        return found == shapes.end() ? "absent" : found->second;
    }
};

/// The first of the model's tensors that differ, then those that only the other one has.
std::vector<std::string> differing_tensors(const config::Model& have, const config::Model& want) {
    config::Model begin = have;  // a damaged file may name any number of layers
    begin.n_layer = std::min(have.n_layer, want.n_layer + 1);
    const Tensors there(begin), here(want);
    std::vector<std::string> names = here.names, texts;
    for (const std::string& name : there.names)
        if (!here.shapes.contains(name)) names.push_back(name);
    for (const std::string& name : names)
        if (there.shape(name) != here.shape(name) && texts.size() < kMaxNamed)
            texts.push_back(
                fmt::format("{} {} there and {} here", name, there.shape(name), here.shape(name)));
    return texts;
}

}  // namespace

void require_same_shape(const std::filesystem::path& path, const config::Model& have,
                        const config::Model& want, Head head) {
    const std::vector<std::string> fields = differing_fields(have, want, head);
    if (fields.empty()) return;
    // The tensors of another attention may not be known to this binary.
    const std::vector<std::string> tensors = have.attention == want.attention
                                                 ? differing_tensors(have, want)
                                                 : std::vector<std::string>();
    const auto hash = [](const config::Model& m) {
        return sha256_hex(model_text(m)).substr(0, 12);
    };
    fail(kData,
         "{}: {}{}{}; model configuration {} there and {} here; weights fit a model of their own "
         "shape only",
         path.string(), fmt::join(fields, ", "),
         tensors.empty() ? "" : "; tensors that differ: ", fmt::join(tensors, ", "), hash(have),
         hash(want));
}

}  // namespace knlp::train
