#include "cpu/activations.h"

#include "knlp/core/error.h"
#include "knlp/model/gpt2.h"

#include <fmt/ranges.h>

namespace knlp::model {

int64_t element_count(const ParameterSpec& spec) {
    int64_t count = 1;
    for (const int64_t size : spec.shape)
        if (__builtin_mul_overflow(count, size, &count))
            fail(kUsage, "tensor '{}' has more than 2^63 elements", spec.name);
    return count;
}

bool has_vocabulary_rows(const ParameterSpec& spec) {
    return spec.name == "wte.weight" || spec.name == "lm_head.weight";
}

int64_t parameter_count(const config::Model& model) {
    int64_t count = 0;
    for (const ParameterSpec& spec : gpt2_parameters(model)) count += element_count(spec);
    return count;
}

int64_t parameter_count_without_positions(const config::Model& model) {
    return parameter_count(model) - model.n_ctx * model.d_model;
}

std::vector<CacheSpec> cache_specs(const config::Model& model) {
    const AttentionType& attention = attention_type(model.attention);
    std::vector<CacheSpec> specs;
    for (int64_t l = 0; l < model.n_layer; ++l) specs.push_back(attention.cache(model, l));
    return specs;
}

double flops_per_token(const config::Model& model, int64_t length) {
    const auto n = static_cast<double>(parameter_count_without_positions(model));
    return 6.0 * n + 12.0 * static_cast<double>(model.n_layer * model.d_model * length);
}

namespace {

// Logits held at once. Each chunk reads and writes the whole gradient of the head once, so chunks
// should be large; they are read several times, so on the processor they should not be much larger
// than caches, and they are memory that nothing else needs.
constexpr int64_t kLogitBytes = int64_t{64} << 20;
// A device has no such cache: here that gradient should cost little beside the logits (154 MB of
// float32 in the 124M model), and the chunk stay small beside its memory.
constexpr int64_t kDeviceLogitBytes = int64_t{512} << 20;

}  // namespace

int64_t logit_rows(const config::Model& model, int64_t rows, Device device) {
    if (model.loss_chunk > 0) return std::min(model.loss_chunk, rows);
    const int64_t budget = device.is_cpu() ? kLogitBytes : kDeviceLogitBytes;
    const int64_t fit = std::max<int64_t>(1, budget / (4 * model.padded_vocab()));
    const int64_t chunks = (rows + fit - 1) / fit;
    return (rows + chunks - 1) / chunks;
}

int64_t activation_bytes(const config::Model& model, int64_t batch, int64_t length, bool training,
                         Device device) {
    const int64_t row = 4 * batch * length * model.d_model;
    const int64_t chunk = logit_rows(model, batch * length, device);
    const AttentionType& attention = attention_type(model.attention);
    // Logits and one copy on their way into a product; embeddings, final norm and their gradients.
    int64_t bytes = 2 * 4 * chunk * model.padded_vocab() + 6 * row;
    // Gradients of the embedding and of the head before they are added, and one transposed copy.
    if (training) bytes += 3 * 4 * model.padded_vocab() * model.d_model;
    // A block besides attention: inputs and outputs of two norms, the hidden layer before and after
    // GELU.
    for (int64_t l = 0; l < (training ? model.n_layer : 1); ++l)
        bytes += 12 * row + attention.activation_bytes(model, batch, length, training);
    return bytes;
}

int64_t pass_bytes(const config::Model& model, int64_t batch, int64_t length, bool bf16,
                   bool training, int64_t threads) {
    if (!attention_type(model.attention).plain_causal ||
        model.attention_backend == config::AttentionBackend::kReference)
        return 0;
    PassShape shape = pass_shape(model, batch, length, bf16, training, threads);
    int64_t together = 0, alone = 0;
    lay_out(shape, nullptr, together);
    // Which way a small model goes is not known before the routes are.
    shape.alone = true;
    if (model.d_model <= kWidestAlone && batch % threads == 0 && shape.chunk == shape.rows())
        lay_out(shape, nullptr, alone);
    return std::max(together, alone);
}

std::vector<std::array<int64_t, 3>> gemm_shapes(const config::Model& model, int64_t batch,
                                                int64_t length) {
    const int64_t m = batch * length, c = model.d_model;
    return {{m, 3 * c, c},
            {m, c, c},
            {m, 4 * c, c},
            {m, c, 4 * c},
            {logit_rows(model, m, {}), model.padded_vocab(), c}};
}

config::Model gpt2_preset(std::string_view size) {
    struct Row {
        const char* size;
        int64_t n_layer, n_head, d_model, vocab_size, n_ctx;
    };
    static constexpr Row kRows[] = {
        {"nano", 4, 4, 128, 257, 128},       {"tiny", 6, 8, 512, 50257, 1024},
        {"124M", 12, 12, 768, 50257, 1024},  {"350M", 24, 16, 1024, 50257, 1024},
        {"774M", 36, 20, 1280, 50257, 1024}, {"1558M", 48, 25, 1600, 50257, 1024},
    };
    std::vector<std::string> known;
    for (const Row& row : kRows) {
        if (size == row.size) {
            config::Model model;
            model.size = row.size;
            model.n_layer = row.n_layer;
            model.n_head = row.n_head;
            model.d_model = row.d_model;
            model.vocab_size = row.vocab_size;
            model.n_ctx = row.n_ctx;
            return model;
        }
        known.emplace_back(row.size);
    }
    fail(kUsage, "no GPT-2 of size '{}'{}; there are {}", size, did_you_mean(size, known),
         fmt::join(known, ", "));
}

}  // namespace knlp::model
