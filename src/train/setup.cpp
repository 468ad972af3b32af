#include "session.h"

#include "knlp/config/symbols.h"
#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/memory.h"
#include "knlp/data/batches.h"
#include "knlp/model/runtime.h"
#include "knlp/model/weights.h"
#include "knlp/train/step_memory.h"
#include "shape.h"

#include <algorithm>
#include <new>
#include <system_error>

namespace knlp::train {

namespace {

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kLayerBudget = 64 * kMiB;  // activations of a layer that caches still help with
constexpr double kFreeShare = 0.8;           // of free memory, for the automatic micro-batch

void check_budgets(const config::Train& train) {
    if (train.max_iters <= 0 && train.max_tokens <= 0 && train.max_time_s <= 0)
        fail_code(kConfig, "E_RANGE",
                  "no budget is set: one of GPT2_MAX_ITERS, GPT2_MAX_TOKENS, GPT2_MAX_TIME must be "
                  "above 0");
}

/// Vocabulary size 0 means the tokenizer's; every id of the data must fit.
void settle_vocabulary(Session& s) {
    const data::DatasetMeta& meta = s.dataset().meta;
    const int64_t tokens_need = s.tokenizer ? s.tokenizer->vocab_size() : meta.vocab_size;
    if (s.model.vocab_size == 0) s.model.vocab_size = tokens_need;
    if (s.model.vocab_size <= 0)
        fail(kData, "{}: the vocabulary size is not known; set GPT2_VOCAB_SIZE",
             s.dataset().directory.string());
    if (s.model.vocab_size < tokens_need)
        fail_code(kConfig, "E_RANGE",
                  "GPT2_VOCAB_SIZE={} is smaller than the tokenizer's {} ids; set {} or 0",
                  s.model.vocab_size, tokens_need, tokens_need);
    s.dataset().train.check_vocabulary(s.model.vocab_size);
    s.dataset().val.check_vocabulary(s.model.vocab_size);
}

}  // namespace

void find_data(Session& s, const TrainRequest& request) {
    s.resolved = data::resolve_dataset(s.data, s.general.data_dir, request.strict);
    if (!s.resolved->tokenizer_directory.empty())
        s.tokenizer = data::load_tokenizer(s.resolved->tokenizer_directory);
    else if (s.dataset().meta.tokenizer == "byte")  // needs no files: token files alone will do
        s.tokenizer = data::make_byte_tokenizer();
    settle_vocabulary(s);
    data::require_window(s.dataset().train, s.model.n_ctx);
    data::require_window(s.dataset().val, s.model.n_ctx);
    s.eval_starts =
        data::eval_window_starts(s.dataset().val.size(), s.model.n_ctx, s.data.eval_tokens);
    s.eval_sha256 =
        data::eval_windows_sha256(s.eval_starts, s.model.n_ctx, s.dataset().meta.val_sha256);
}

/// A dry run needs no data, only a vocabulary of the size the data would have.
void assume_vocabulary(Session& s, const TrainRequest& request) {
    if (s.model.vocab_size > 0) return;
    s.model.vocab_size = !request.init_from.empty()
                             ? model::find_model(request.init_from).model.vocab_size
                         : s.data.tokenizer == "gpt2" ? 50257
                         : s.data.tokenizer == "bpe"  ? s.data.bpe_vocab
                                                      : 257;
}

namespace {

/// What the checkpoint was made with, or the best of this CPU with a warning when it lacks that. A
/// plan's is obeyed.
void settle_isa(Session& s, const std::string& forced, bool planned) {
    try {
        if (!forced.empty()) force_isa(forced);
    } catch (const Error& error) {
        if (error.kind() != kNotAvailable || planned) throw;
        s.warnings.push_back(std::string(error.what()) + "; results may differ in the last bits");
    }
    s.choices.isa = name_of(isa());
}

/// The CPU has AVX512_BF16 or not, so what is wanted can only be compared.
void settle_bf16_products(Session& s, const Choices& wanted) {
    s.choices.bf16_dot_products.reset();
    const bool evaluates = s.train.eval_precision == config::Precision::kBfloat16;
    if (!s.device.is_cpu() || !(s.bf16() || evaluates)) return;
    const bool here = bf16_dot_products();
    s.choices.bf16_dot_products = here;
    // Another instruction set has been spoken of.
    if (wanted.bf16_dot_products.value_or(here) == here || wanted.isa != s.choices.isa) return;
    s.warnings.push_back(
        fmt::format("products of bfloat16 {} AVX512_BF16 are wanted and this CPU "
                    "{}; results may differ in the last bits",
                    here ? "without" : "by", here ? "has it" : "has none"));
}

/// Of the plan's kind: the one that DEVICE names when it is of that kind, else the first.
model::Device planned_device(const std::string& configured, const std::string& kind) {
    return model::resolve_device(configured.starts_with(kind) ? configured : kind);
}

model::Device find_device(Session& s, const TrainRequest& request) {
    // A configuration may be tried on a machine without its device; one asked for by name must be
    // there.
    if (request.dry_run && !request.device_required) return {};
    if (!request.device_kind.empty()) return planned_device(s.general.device, request.device_kind);
    try {
        const model::Device found = model::resolve_device(s.general.device);
        return request.dry_run ? model::Device() : found;
    } catch (const Error& error) {
        if (error.kind() != kNotAvailable || request.device_required ||
            !s.general.allow_cpu_fallback)
            throw;
        s.warnings.push_back(fmt::format("DEVICE={}: {}; training on the CPU (ALLOW_CPU_FALLBACK)",
                                         s.general.device, error.what()));
        return {};
    }
}

/// Activations of one block: what one more layer adds.
int64_t layer_activation_bytes(const Session& s, int64_t micro) {
    config::Model deeper = s.model;
    ++deeper.n_layer;
    return model::activation_bytes(deeper, micro, s.model.n_ctx, true, s.device) -
           model::activation_bytes(s.model, micro, s.model.n_ctx, true, s.device);
}

}  // namespace

MemoryEstimate memory_of(const Session& s, int64_t micro, int64_t held) {
    return step_memory({.model = s.model,
                        .optimizer = s.optimizer_options,
                        .device = s.device,
                        .micro = micro,
                        .accumulates = s.train.effective_batch > micro,
                        .bf16 = s.bf16(),
                        .eval_bf16 = s.train.eval_precision == config::Precision::kBfloat16,
                        .watched = s.debug_anomaly,
                        .threads = s.choices.threads},
                       held);
}

void choose_micro_batch(Session& s, int64_t held, int64_t available) {
    if (s.choices.micro > 0) {
        s.batch = {s.choices.micro, s.choices.accumulation, s.train.auto_batch};
        return;
    }
    if (!s.train.auto_batch) {
        s.batch = {s.train.batch, s.train.accumulation, false};
        return;
    }
    s.batch_of_memory = true;
    s.batch = choose_batch(
        s.train.effective_batch,
        {.run_bytes = [&](int64_t micro) { return memory_of(s, micro, held).total(); },
         .layer_bytes = [&](int64_t micro) { return layer_activation_bytes(s, micro); },
         .run_budget = static_cast<int64_t>(kFreeShare * static_cast<double>(available)),
         .layer_budget = s.device.is_cpu() ? kLayerBudget : 0});
}

Session configure(const config::Symbols& symbols, const TrainRequest& request,
                  const Choices& forced) {
    Session s;
    s.general = config::read_general(symbols);
    s.model = config::read_model(symbols);
    s.train = config::read_train(symbols);
    s.optimizer_options = config::read_optimizer(symbols);
    s.data = config::read_data(symbols);
    s.choices = forced;
    if (request.eval_only) s.train.save_checkpoint = false;
    check_budgets(s.train);
    settle_isa(s, forced.isa, request.choices.has_value());
    model::start_runtime({.threads = forced.threads > 0 ? forced.threads : s.general.num_threads,
                          .deterministic = s.general.deterministic});
    s.choices.threads = model::runtime_threads();
    s.device = find_device(s, request);
    settle_bf16_products(s, forced);
    s.debug_anomaly = request.debug_anomaly;
    s.queued = (!s.device.is_cpu() || request.queue_steps) && !s.debug_anomaly;
    return s;
}

Session prepare_session(const config::Symbols& symbols, const TrainRequest& request,
                        const Choices& forced) {
    Session s = configure(symbols, request, forced);
    if (request.dry_run)
        assume_vocabulary(s, request);
    else
        find_data(s, request);
    return s;
}

void plan_resources(Session& s, const TrainRequest& request,
                    const std::filesystem::path& run_directory) {
    const int64_t held = resident_bytes(), of_machine = available_memory_bytes() + held;
    int64_t available = s.device.is_cpu() ? of_machine : model::device_free_bytes(s.device);
    const bool known = available > 0;
    if (!known) {
        available = of_machine;
        s.warnings.push_back(s.device.str() +
                             ": its driver does not tell how much memory is free; "
                             "planned with the machine's instead");
    }
    choose_micro_batch(s, held, available);
    if (s.batch_of_memory)
        log::info("AUTO: {} free {} -> micro={}, accum={}, world=1, effective={} (exact)",
                  s.device.str(), bytes_text(available), s.batch.micro, s.batch.accumulation,
                  s.batch.effective());
    s.choices.micro = s.batch.micro;
    s.choices.accumulation = s.batch.accumulation;
    s.memory = memory_of(s, s.batch.micro, held);
    s.memory.available = available;
    s.memory.fitting_batch = largest_fitting(
        s.batch.micro, available, [&](int64_t micro) { return memory_of(s, micro, held).total(); });
    if (!s.device.is_cpu()) s.memory.device = s.device.str();
    if (known) require_memory(s.memory, request.force);
    s.checkpoint_bytes =
        4 * model::parameter_count(s.model) + optimizer_bytes(s.optimizer_options, s.model);
    if (s.train.save_checkpoint) {
        s.memory.snapshot = s.checkpoint_bytes;
        const int64_t beside = s.device.is_cpu() ? s.memory.total() : held;
        s.background_saves = fits(beside + s.memory.snapshot, of_machine);
        if (!s.background_saves)
            s.warnings.push_back(fmt::format(
                "no memory for the copies of a checkpoint ({} beside {} of {}): "
                "training waits while one is written",
                bytes_text(s.memory.snapshot), bytes_text(beside), bytes_text(of_machine)));
    }
    if (s.train.save_checkpoint && !request.dry_run)
        require_disk(run_directory, s.checkpoint_bytes, request.force);
}

namespace {

/// Whether the exception being handled says that memory ran out.
bool memory_ran_out() {
    try {
        throw;
    } catch (const std::bad_alloc&) {
        return true;
    } catch (const std::system_error& error) {  // no room for the stack of a thread
        return error.code() == std::errc::resource_unavailable_try_again;
    } catch (const std::exception& error) {
        return model::torch_error_text(error).find("memory") != std::string::npos;
    }
}

}  // namespace

bool first_passes_fit(const Session& s, const RunState& state,
                      const std::function<void()>& passes) {
    const int64_t begin = state.step;
    try {
        passes();
        return true;
    } catch (const std::exception&) {
        const bool smaller_may_do = s.batch_of_memory && s.batch.micro > 1;
        if (state.step > begin || !smaller_may_do || !memory_ran_out()) throw;
    }
    return false;
}

void shrink_batch(Session& s) {
    s.optimizer.reset();
    s.gpt2.reset();
    give_back_freed_memory();
    const int64_t before = s.batch.micro;
    s.batch = smaller_batch(s.batch);
    s.choices.micro = s.batch.micro;
    s.choices.accumulation = s.batch.accumulation;
    s.memory.terms = memory_of(s, s.batch.micro, resident_bytes()).terms;
    s.memory.fitting_batch = s.batch.micro;
    s.warnings.push_back(
        fmt::format("AUTO: memory ran out in the first pass with micro={}; trying micro={}, "
                    "accum={}, effective={} (exact)",
                    before, s.batch.micro, s.batch.accumulation, s.batch.effective()));
}

void build_model(Session& s) {
    s.gpt2 = std::make_unique<model::Gpt2>(s.model, s.device);
    s.gpt2->initialize(s.general.seed);
    // Routes are the processor's: on another device LibTorch multiplies.
    const std::string wanted = !s.device.is_cpu()       ? "aten"
                               : s.choices.gemm.empty() ? s.train.gemm
                                                        : s.choices.gemm;
    s.choices.gemm = model::choose_gemm_route(
        wanted, model::gemm_shapes(s.model, s.batch.micro, s.model.n_ctx), s.bf16());
    give_back_freed_memory();  // operands of the routes that were timed
    s.optimizer = optim::make_optimizer(s.optimizer_options, *s.gpt2, s.queued);
}

void load_initial_weights(Session& s, const std::filesystem::path& path) {
    const model::ModelSource source = model::find_model(path);
    require_same_shape(path, source.model, s.model, Head::kAny);
    model::require_intact(source);
    if (!source.tokenizer.empty() && s.tokenizer) {
        const auto theirs = data::load_tokenizer(source.tokenizer);
        if (theirs->sha256() != s.tokenizer->sha256())
            fail(kData,
                 "{}: its tokenizer ({}, {} ids) is not that of the data ({}, {} ids): the same "
                 "numbers "
                 "would mean other text; prepare the data with the model's tokenizer",
                 path.string(), theirs->kind(), theirs->vocab_size(), s.tokenizer->kind(),
                 s.tokenizer->vocab_size());
    }
    model::load_weights(source.weights, *s.gpt2, !s.model.weight_tying, true);
}

}  // namespace knlp::train
