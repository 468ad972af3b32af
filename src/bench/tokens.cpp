#include "tokens.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/rng.h"

namespace knlp::bench {
namespace {

namespace fs = std::filesystem;

/// Far more than the steps of a benchmark read, little enough to write at once.
constexpr int64_t kRandomTokens = int64_t{1} << 20;
constexpr int64_t kByteVocabulary = 257;

}  // namespace

BenchTokens::BenchTokens(const StepRequest& request) {
    if (!request.tokens.empty()) {
        file_ = data::TokenFile::open({request.tokens});
        file_->check_vocabulary(request.model.vocab_size);
        return;
    }
    directory_.emplace(fs::temp_directory_path());
    const Stream random(request.seed, "bench/tokens");
    std::vector<int32_t> ids(static_cast<size_t>(kRandomTokens));
    for (size_t i = 0; i < ids.size(); ++i)
        ids[i] =
            static_cast<int32_t>(random.below(static_cast<uint64_t>(request.model.vocab_size), i));
    const int64_t width = request.model.vocab_size > 65536 ? 4 : 2;
    data::write_tokens(directory_->path() / "tokens.bin", ids, request.model.vocab_size,
                       data::TokenLayout::kPlain);
    file_ = data::TokenFile::open({directory_->path() / "tokens.bin"}, width);
}

StepRequest completed(StepRequest request) {
    if (request.batch < 1 || request.accumulation < 1)
        fail(kUsage, "batch {} and accumulation {} must be at least 1", request.batch,
             request.accumulation);
    if (request.samples < 1 || request.warm_up < 0)
        fail(kUsage, "samples {} must be at least 1, warm-up {} at least 0", request.samples,
             request.warm_up);
    if (request.model.vocab_size == 0) request.model.vocab_size = kByteVocabulary;
    if (request.threads == 0) request.threads = usable_cores();
    return request;
}

}  // namespace knlp::bench
