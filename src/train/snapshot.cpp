#include "snapshot.h"

#include "knlp/core/error.h"
#include "knlp/core/memory.h"
#include "knlp/core/parallel.h"
#include "knlp/core/safetensors.h"
#include "knlp/model/parameter.h"
#include "knlp/model/weights.h"
#include "knlp/optim/named_state.h"
#include "tensors.h"

#include <ATen/Parallel.h>

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace knlp::train {

namespace {

// Copied by one thread at a time: long enough for the memory, short enough to share the work.
constexpr int64_t kPiece = int64_t{4} << 20;
constexpr int64_t kAlignment = 64;

/// Memory of its own, given back to the system as a whole.
class Buffer {
public:
    explicit Buffer(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {
        void* at =
            ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) return;
        // Large pages: the first touch of each page is most of what a copy into fresh memory costs.
        prefer_huge_pages(at, bytes);
        data_ = static_cast<std::byte*>(at);
    }
    ~Buffer() {
        if (data_ != nullptr) ::munmap(data_, bytes_);
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    std::byte* data() const { return data_; }

private:
    size_t bytes_;
    std::byte* data_ = nullptr;
};

/// in [rows, columns] -> out [columns, rows]. In squares, so that both sides stay in the cache.
void transpose(const float* in, int64_t rows, int64_t columns, float* out) {
    constexpr int64_t kSquare = 32;
    for (int64_t r = 0; r < rows; r += kSquare)
        for (int64_t c = 0; c < columns; c += kSquare)
            for (int64_t j = c; j < std::min(c + kSquare, columns); ++j)
                for (int64_t i = r; i < std::min(r + kSquare, rows); ++i)
                    out[j * rows + i] = in[i * columns + j];
}

}  // namespace

/// One tensor of a file and where its copy lies.
struct Snapshot::Copy {
    std::string name;
    std::vector<int64_t> shape;  // as stored
    at::Tensor source;           // dropped once copied
    bool turned = false;
    int64_t offset = 0, bytes = 0;
};

struct Snapshot::State {
    std::vector<Copy> model, optimizer;
    std::map<std::string, std::string> model_metadata, optimizer_metadata;
    int64_t bytes = 0;
    std::unique_ptr<Buffer> buffer;

    void add(std::vector<Copy>& file, Copy copy) {
        copy.bytes = copy.source.numel() * 4;
        copy.offset = bytes;
        bytes += (copy.bytes + kAlignment - 1) / kAlignment * kAlignment;
        file.push_back(std::move(copy));
    }
    void copy_all();
    uint64_t write(const std::filesystem::path& path, const std::vector<Copy>& file,
                   const std::map<std::string, std::string>& metadata) const;
};

void Snapshot::State::copy_all() {
    struct Piece {
        std::byte* to;
        const std::byte* from;
        int64_t bytes;
    };
    std::vector<Piece> pieces;
    std::vector<at::Tensor> held;
    for (std::vector<Copy>* file : {&model, &optimizer})
        for (Copy& copy : *file) {
            // No copy for what lies in the machine's memory in one piece.
            held.push_back(copy.source.to(at::kCPU, at::kFloat).contiguous());
            copy.source = at::Tensor();
            const auto* from = static_cast<const std::byte*>(held.back().const_data_ptr());
            for (int64_t at = 0; at < copy.bytes; at += kPiece)
                pieces.push_back({buffer->data() + copy.offset + at, from + at,
                                  std::min(kPiece, copy.bytes - at)});
        }
    // Handed out one by one: a thread that the machine holds up would have half of them otherwise.
    parallel_for(at::get_num_threads(), std::ssize(pieces), [&](int64_t i) {
        const Piece& piece = pieces[static_cast<size_t>(i)];
        std::memcpy(piece.to, piece.from, static_cast<size_t>(piece.bytes));
    });
}

uint64_t Snapshot::State::write(const std::filesystem::path& path, const std::vector<Copy>& file,
                                const std::map<std::string, std::string>& metadata) const {
    std::vector<float> turned;  // the one being written
    std::vector<TensorToWrite> tensors;
    for (const Copy& copy : file) {
        const std::span<const std::byte> bytes(buffer->data() + copy.offset,
                                               static_cast<size_t>(copy.bytes));
        auto give = [&turned, &copy, bytes]() -> std::span<const std::byte> {
            if (!copy.turned) return bytes;
            turned.resize(bytes.size() / sizeof(float));
            transpose(reinterpret_cast<const float*>(bytes.data()), copy.shape[1], copy.shape[0],
                      turned.data());
            return std::as_bytes(std::span<const float>(turned));
        };
        tensors.push_back({.name = copy.name,
                           .dtype = Dtype::kF32,
                           .shape = copy.shape,
                           .bytes = std::move(give)});
    }
    uint64_t hash = 0;
    write_safetensors(path, std::move(tensors), metadata, &hash);
    return hash;
}

Snapshot::Snapshot(std::unique_ptr<State> state) : state_(std::move(state)) {}
Snapshot::~Snapshot() = default;

std::shared_ptr<const Snapshot> Snapshot::take(model::Gpt2& model, optim::Optimizer& optimizer,
                                               const std::string& optimizer_name) {
    auto state = std::make_unique<State>();
    for (model::StoredTensor& stored : model::stored_tensors(model, "")) {
        KNLP_CHECK(stored.parameter != nullptr);
        at::Tensor value = stored.parameter->value.detach();
        if (model::has_vocabulary_rows(stored.parameter->spec))
            value = value.narrow(0, 0, stored.shape[0]);
        state->add(state->model, {.name = std::move(stored.name),
                                  .shape = std::move(stored.shape),
                                  .source = std::move(value),
                                  .turned = stored.turned});
    }
    for (optim::NamedState& named : optimizer.tensors())
        state->add(state->optimizer, {.name = named.parameter + "." + named.suffix,
                                      .shape = named.value.sizes().vec(),
                                      .source = named.value});
    state->model_metadata = model::stored_metadata({});
    state->optimizer_metadata = optimizer_metadata(optimizer, optimizer_name);
    state->buffer = std::make_unique<Buffer>(state->bytes);
    if (state->buffer->data() == nullptr) return nullptr;
    state->copy_all();
    return std::shared_ptr<const Snapshot>(new Snapshot(std::move(state)));
}

int64_t Snapshot::bytes() const {
    return state_->bytes;
}

KnownHashes Snapshot::write(const std::filesystem::path& directory) const {
    const State& s = *state_;
    return {
        {"model.safetensors", s.write(directory / "model.safetensors", s.model, s.model_metadata)},
        {"optim.safetensors",
         s.write(directory / "optim.safetensors", s.optimizer, s.optimizer_metadata)}};
}

KnownHashes write_tensors(const std::filesystem::path& directory, model::Gpt2& model,
                          optim::Optimizer& optimizer, const std::string& optimizer_name) {
    uint64_t hash = 0;
    model::save_weights(directory / "model.safetensors", model, "", {}, &hash);
    return {{"model.safetensors", hash},
            {"optim.safetensors",
             write_optimizer(directory / "optim.safetensors", optimizer, optimizer_name)}};
}

}  // namespace knlp::train
