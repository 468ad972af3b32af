#include "bench_inference.h"

#include "src/app/parser.h"

#include <algorithm>

namespace knlp::app {

void add_context_option(Parser verb, InferenceFlags& flags) {
    verb.add_option(
            "--context", flags.contexts,
            "decode: tokens that are seen (default: 128 512 1024, as far as the model goes)")
        .positive()
        .type_name("N");
}

void add_prompt_option(Parser verb, InferenceFlags& flags) {
    verb.add_option("--prompt", flags.prompt,
                    "prefill: tokens of a sequence (default: 1024, or the model's context)")
        .positive()
        .type_name("N");
    verb.add_option("--chunk", flags.chunk,
                    "prefill: tokens of a sequence read at once (default: all)")
        .positive()
        .type_name("N");
}

void add_dtype_option(Parser verb, InferenceFlags& flags) {
    verb.add_option("--dtype", flags.dtype,
                    "decode, prefill: weights, keys and values as fp32 or bf16 "
                    "(default: fp32)")
        .one_of({"fp32", "bf16"})
        .type_name("TYPE");
}

bench::InferenceRequest inference_request(const bench::StepRequest& step,
                                          const BenchOptions& options,
                                          const InferenceFlags& flags) {
    constexpr int64_t kByteVocabulary = 257;  // of a model that has no tokenizer yet
    bench::InferenceRequest request;
    request.model = step.model;
    if (request.model.vocab_size == 0) request.model.vocab_size = kByteVocabulary;
    const int64_t n_ctx = request.model.n_ctx;
    request.batch = std::max<int64_t>(1, options.batch);
    if (!flags.contexts.empty()) {
        request.contexts = flags.contexts;
    } else {
        std::erase_if(request.contexts, [&](int64_t context) { return context > n_ctx; });
        if (request.contexts.empty()) request.contexts = {n_ctx};
    }
    request.prompt = flags.prompt > 0 ? flags.prompt : std::min(request.prompt, n_ctx);
    request.chunk = flags.chunk;
    request.bf16 = flags.dtype == "bf16";
    request.seed = step.seed;
    request.threads = step.threads;
    request.samples = options.samples;
    return request;
}

}  // namespace knlp::app
