#include "knlp/model/decoder.h"

#include "inference.h"
#include "knlp/core/error.h"
#include "knlp/core/memory.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/inference_memory.h"
#include "knlp/model/parameter.h"
#include "knlp/model/tensor_device.h"

#include <ATen/Parallel.h>

#include <omp.h>

#include <algorithm>
#include <optional>
#include <string>

namespace knlp::model {

void run_team(const std::function<void(const Worker&)>& work) {
    // Written out instead of at::parallel_for, which does not say how many take part.
#pragma omp parallel num_threads(static_cast <int>(team_size()))
    work({.index = omp_get_thread_num(), .count = omp_get_num_threads()});
}

int64_t team_size() {
    return at::in_parallel_region() ? 1 : at::get_num_threads();
}

namespace {

at::ScalarType scalar_type_of(kernels::Storage type) {
    return type == kernels::Storage::kBf16 ? at::kBFloat16 : at::kFloat;
}

bool is_matrix(const Parameter& parameter) {
    return parameter.spec.shape.size() == 2 && parameter.spec.name != "wpe.weight";
}

}  // namespace

void prepare_weights(Gpt2& model, bool bf16) {
    const at::NoGradGuard no_grad;
    const auto type_of = [&](const Parameter& p) {
        return bf16 && is_matrix(p) ? at::kBFloat16 : at::kFloat;
    };
    const auto bytes_of = [&](const Parameter& p) {
        return element_count(p.spec) * (type_of(p) == at::kBFloat16 ? 2 : 4);
    };
    int64_t total = 0;
    for (const Parameter& p : model.parameters()) total += aligned(bytes_of(p));
    // One block in the order of use: huge pages reach across the borders of matrices.
    const at::Tensor block =
        at::empty({total}, at::device(tensor_device(model.device())).dtype(at::kByte));
    if (block.is_cpu()) prefer_huge_pages(block.mutable_data_ptr(), total);
    int64_t at = 0;
    for (Parameter& p : model.parameters()) {
        const at::Tensor own = block.narrow(0, at, bytes_of(p)).view(type_of(p)).view(p.spec.shape);
        p.value = own.set_requires_grad(p.value.requires_grad() && type_of(p) == at::kFloat);
        at += aligned(bytes_of(p));
    }
}

struct Decoder::State {
    Gpt2& gpt2;
    ModelView model;
    std::vector<at::Tensor> copies;
    std::unique_ptr<Inference> inference;

    explicit State(Gpt2& m) : gpt2(m) {}

    const at::Tensor* find(const std::string& name) const {
        const Parameter* p = gpt2.find(name);
        return p != nullptr ? &p->value : nullptr;
    }
    const float* vector(const std::string& name) const {
        const at::Tensor* value = find(name);
        return value != nullptr ? value->const_data_ptr<float>() : nullptr;
    }
    NormView norm(const std::string& name) const {
        return {vector(name + ".weight"), vector(name + ".bias")};
    }
    const void* weight(const std::string& name) {
        const at::Tensor& value = *find(name);
        const bool bf16 = model.weight_type == kernels::Storage::kBf16;
        if (bf16 == (value.scalar_type() == at::kBFloat16)) return value.const_data_ptr();
        KNLP_CHECK(bf16);
        copies.push_back(at::empty(value.sizes(), at::kBFloat16));
        prefer_huge_pages(copies.back().mutable_data_ptr(),
                          static_cast<int64_t>(copies.back().nbytes()));
        copies.back().copy_(value.detach());
        return copies.back().const_data_ptr();
    }
    MatrixView matrix(const std::string& name) {
        const auto shape = find(name + ".weight")->sizes();
        return {weight(name + ".weight"), vector(name + ".bias"), shape[0], shape[1]};
    }
    BlockView block(int64_t layer) {
        const std::string prefix = "h." + std::to_string(layer) + ".";
        return {norm(prefix + "ln_1"),          matrix(prefix + "attn.c_attn"),
                matrix(prefix + "attn.c_proj"), norm(prefix + "ln_2"),
                matrix(prefix + "mlp.c_fc"),    matrix(prefix + "mlp.c_proj")};
    }
    void view(bool bf16, std::optional<bool> bf16_cache);
    CacheView cache_view(KvCache& cache) const;
    void run(std::span<const Segment> segments, const CacheView* cache, float* logits);
};

void Decoder::State::view(bool bf16, std::optional<bool> bf16_cache) {
    const config::Model& m = gpt2.config();
    model.d_model = m.d_model;
    model.n_head = m.n_head;
    model.vocab_size = m.vocab_size;
    model.epsilon = static_cast<float>(m.layer_norm_epsilon);
    model.gelu_tanh = m.gelu == config::Gelu::kTanh;
    bf16 |= find("wte.weight")->scalar_type() == at::kBFloat16;
    model.weight_type = bf16 ? kernels::Storage::kBf16 : kernels::Storage::kF32;
    model.kv_type = bf16_cache.value_or(bf16) ? kernels::Storage::kBf16 : kernels::Storage::kF32;
    model.wpe = vector("wpe.weight");
    for (int64_t layer = 0; layer < m.n_layer; ++layer) model.blocks.push_back(block(layer));
    model.ln_f = norm("ln_f");
    model.wte = weight("wte.weight");
    const void* head = m.weight_tying ? model.wte : weight("lm_head.weight");
    model.head = {head, nullptr, m.vocab_size, m.d_model};
    inference = std::make_unique<Inference>(model);
}

CacheView Decoder::State::cache_view(KvCache& cache) const {
    CacheView view{.capacity = cache.capacity()};
    for (size_t layer = 0; layer < model.blocks.size(); ++layer) {
        const LayerCache& own = cache.layer(static_cast<int64_t>(layer));
        KNLP_CHECK(own.lanes[0].scalar_type() == scalar_type_of(model.kv_type));
        view.kv.push_back(own.lanes[0].mutable_data_ptr());
    }
    return view;
}

/// Logits of the last token of each segment.
void Decoder::State::run(std::span<const Segment> segments, const CacheView* cache, float* logits) {
    inference->run(segments, cache);
    if (logits == nullptr) return;
    std::vector<int64_t> last;
    int64_t tokens = 0;
    for (const Segment& segment : segments) last.push_back((tokens += std::ssize(segment.ids)) - 1);
    inference->logits(last, logits);
}

bool Decoder::suits(Gpt2& model) {
    const config::Model& m = model.config();
    if (!model.device().is_cpu() || m.attention != "causal" ||
        m.attention_backend == config::AttentionBackend::kReference)
        return false;
    const at::ScalarType type = model.find("wte.weight")->value.scalar_type();
    return std::ranges::all_of(model.parameters(), [&](const Parameter& p) {
        const at::ScalarType wanted =
            is_matrix(p) && type == at::kBFloat16 ? at::kBFloat16 : at::kFloat;
        return p.value.scalar_type() == wanted && p.value.is_contiguous();
    });
}

Decoder::Decoder(Gpt2& model, bool bf16, std::optional<bool> bf16_cache)
    : state_(std::make_unique<State>(model)) {
    KNLP_CHECK(suits(model));
    state_->view(bf16, bf16_cache);
}

Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;

void Decoder::read(std::span<const int32_t> ids, int64_t rows, KvCache& cache, float* logits) {
    const int64_t q_len = std::ssize(ids) / rows, before = cache.length();
    KNLP_CHECK(q_len > 0 && before + q_len <= cache.capacity());
    const CacheView view = state_->cache_view(cache);
    std::vector<Segment> segments;
    int64_t tokens = 0, first_row = 0;
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t start =
            cache.row_start.empty() ? 0 : cache.row_start[static_cast<size_t>(row)];
        const int64_t skipped = std::clamp<int64_t>(start - before, 0, q_len);
        const auto own = ids.subspan(static_cast<size_t>(row * q_len + skipped),
                                     static_cast<size_t>(q_len - skipped));
        if (!own.empty()) segments.push_back({own, before + skipped - start, row});
        tokens += std::ssize(own);
        const bool full = tokens + q_len > kTokensAtOnce && q_len > 1;
        if (!full && row + 1 < rows) continue;
        // Only a row that is all padding has no logits yet, and then nobody wants them.
        KNLP_CHECK(logits == nullptr || std::ssize(segments) == row + 1 - first_row);
        if (!segments.empty())
            state_->run(
                segments, &view,
                logits != nullptr ? logits + first_row * state_->model.vocab_size : nullptr);
        segments.clear();
        tokens = 0;
        first_row = row + 1;
    }
    for (int64_t layer = 0; layer < std::ssize(state_->model.blocks); ++layer)
        cache.layer(layer).length = before + q_len;
}

void Decoder::read(std::span<const int32_t> ids, float* logits) {
    const Segment segment{.ids = ids};
    state_->run({&segment, 1}, nullptr, logits);
}

namespace {

/// Rows of a scoring pass, without what follows their last target.
struct Texts {
    std::vector<int32_t> ids;
    std::vector<Segment> segments;
    std::vector<int64_t> tokens, targets,
        where;  // scored: in the pass, target, place in the result

    void add(std::span<const int64_t> row, std::span<const int64_t> wanted, int64_t place) {
        int64_t length = std::ssize(wanted);
        while (length > 0 && wanted[static_cast<size_t>(length - 1)] < 0) --length;
        for (int64_t i = 0; i < length; ++i) {
            const int64_t target = wanted[static_cast<size_t>(i)];
            if (target >= 0) {
                tokens.push_back(std::ssize(ids));
                targets.push_back(target);
                where.push_back(place + i);
            }
            ids.push_back(static_cast<int32_t>(row[static_cast<size_t>(i)]));
        }
        if (length > 0) lengths.push_back(length);
    }
    void finish() {
        size_t at = 0;
        for (int64_t length : lengths) {
            segments.push_back({.ids = std::span(ids).subspan(at, static_cast<size_t>(length))});
            at += static_cast<size_t>(length);
        }
    }

private:
    std::vector<int64_t> lengths;
};

}  // namespace

void Decoder::token_nll(std::span<const int64_t> ids, std::span<const int64_t> targets,
                        int64_t rows, float* nll) {
    KNLP_CHECK(ids.size() == targets.size());
    const size_t length = ids.size() / static_cast<size_t>(rows);
    std::fill(nll, nll + ids.size(), 0.0f);
    std::vector<float> values;
    for (int64_t first = 0, row = 0; first < rows; first = row) {
        Texts texts;
        for (;
             row < rows && (row == first ||
                            std::ssize(texts.ids) + static_cast<int64_t>(length) <= kTokensAtOnce);
             ++row) {
            const size_t at = static_cast<size_t>(row) * length;
            texts.add(ids.subspan(at, length), targets.subspan(at, length),
                      static_cast<int64_t>(at));
        }
        texts.finish();
        if (texts.segments.empty()) continue;
        state_->inference->run(texts.segments, nullptr);
        values.resize(texts.tokens.size());
        state_->inference->nll(texts.tokens, texts.targets, values.data());
        for (size_t i = 0; i < values.size(); ++i) nll[texts.where[i]] = values[i];
    }
}

std::vector<CacheSpec> Decoder::cache_specs() const {
    std::vector<CacheSpec> specs = model::cache_specs(state_->gpt2.config());
    for (CacheSpec& spec : specs) {
        CacheLane both{.name = "kv",
                       .value_bytes = state_->model.kv_type == kernels::Storage::kBf16 ? 2 : 4};
        for (const CacheLane& lane : spec) both.values_per_token += lane.values_per_token;
        spec = {both};
    }
    return specs;
}

bool Decoder::bf16() const {
    return state_->model.weight_type == kernels::Storage::kBf16;
}

int64_t Decoder::weight_bytes() const {
    const int64_t each = bf16() ? 2 : 4;
    int64_t bytes = 0;
    const auto add = [&](const MatrixView& m) {
        bytes += m.n * m.k * each + (m.bias != nullptr ? m.n * 4 : 0);
    };
    for (const BlockView& block : state_->model.blocks)
        for (const MatrixView* m : {&block.qkv, &block.out, &block.fc, &block.proj}) add(*m);
    add(state_->model.head);
    return bytes;
}

}  // namespace knlp::model
