#include "tensors.h"

#include "knlp/core/error.h"
#include "knlp/core/safetensors.h"
#include "knlp/data/batches.h"
#include "knlp/model/parameter.h"
#include "knlp/optim/named_state.h"

#include <fmt/ranges.h>

#include <cstring>

namespace knlp::train {

std::map<std::string, std::string> optimizer_metadata(const optim::Optimizer& optimizer,
                                                      const std::string& name) {
    return {{"optimizer", name}, {"scalars", optimizer.scalars()}};
}

uint64_t write_optimizer(const std::filesystem::path& path, optim::Optimizer& optimizer,
                         const std::string& name) {
    at::Tensor held;  // keeps the bytes of the tensor being written
    std::vector<TensorToWrite> tensors;
    for (const optim::NamedState& state : optimizer.tensors())
        tensors.push_back(
            {.name = state.parameter + "." + state.suffix,
             .dtype = Dtype::kF32,
             .shape = state.value.sizes().vec(),
             .bytes = [&held, value = state.value]() -> std::span<const std::byte> {
                 held = value.to(at::kCPU).contiguous();
                 return {static_cast<const std::byte*>(held.const_data_ptr()), held.nbytes()};
             }});
    uint64_t hash = 0;
    write_safetensors(path, std::move(tensors), optimizer_metadata(optimizer, name), &hash);
    return hash;
}

void read_optimizer(const std::filesystem::path& path, optim::Optimizer& optimizer) {
    const SafetensorsFile file(path);
    std::vector<optim::NamedState> states = optimizer.tensors();
    if (file.tensors().size() != states.size())
        fail(kData, "{}: {} tensors, this optimizer keeps {}", path.string(), file.tensors().size(),
             states.size());
    for (optim::NamedState& state : states) {
        const std::string name = state.parameter + "." + state.suffix;
        const TensorView* view = file.find(name);
        if (view == nullptr) fail(kData, "{}: tensor '{}' is missing", path.string(), name);
        if (view->dtype != Dtype::kF32 || view->shape != state.value.sizes().vec())
            fail(kData, "{}: tensor '{}' is {} [{}], F32 [{}] was expected", path.string(), name,
                 name_of(view->dtype), fmt::join(view->shape, ", "),
                 fmt::join(state.value.sizes().vec(), ", "));
        at::Tensor host = at::empty(state.value.sizes(), at::kFloat);
        std::memcpy(host.data_ptr(), view->bytes.data(), view->bytes.size());
        state.value.copy_(host);
    }
}

void write_batch(const std::filesystem::path& path, const Session& s, int64_t step) {
    const data::Batch batch = data::make_batch(s.dataset().train, s.general.seed, step, 0,
                                               s.batch.effective(), s.model.n_ctx);
    auto tensor = [&](const char* name, const std::vector<int64_t>& ids) {
        return TensorToWrite{.name = name,
                             .dtype = Dtype::kI64,
                             .shape = {batch.rows, batch.n_ctx},
                             .bytes = [&ids] { return std::as_bytes(std::span(ids)); }};
    };
    write_safetensors(path, {tensor("inputs", batch.inputs), tensor("targets", batch.targets)},
                      {{"step", std::to_string(step)}, {"seed", std::to_string(s.general.seed)}});
}

}  // namespace knlp::train
