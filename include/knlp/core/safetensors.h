#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp {

enum class Dtype {
    kBool,
    kU8,
    kI8,
    kI16,
    kU16,
    kF16,
    kBf16,
    kI32,
    kU32,
    kF32,
    kF64,
    kI64,
    kU64,
    kF8E5M2,
    kF8E4M3
};
int64_t size_of(Dtype dtype);
std::string_view name_of(Dtype dtype);  // "F32"

/// One tensor of a file: where its bytes lie.
struct TensorView {
    std::string name;
    Dtype dtype = Dtype::kF32;
    std::vector<int64_t> shape;
    std::span<const std::byte> bytes;  // [product(shape) * size_of(dtype)]
    int64_t file_offset = 0;
};

/// A safetensors file, mapped read-only. The constructor checks everything that can be wrong
/// (length, header, offsets, overlap, gaps, duplicates, shapes) before any tensor is touched:
/// Error{kData} with path, tensor and reason.
class SafetensorsFile {
public:
    explicit SafetensorsFile(const std::filesystem::path& path);
    ~SafetensorsFile();
    SafetensorsFile(SafetensorsFile&&) noexcept;
    SafetensorsFile& operator=(SafetensorsFile&&) noexcept;
    const std::vector<TensorView>& tensors() const;  // in file order
    const TensorView* find(std::string_view name) const;
    const std::map<std::string, std::string>& metadata() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// What to write: bytes are asked for tensor by tensor, so a model is never held twice.
struct TensorToWrite {
    std::string name;
    Dtype dtype = Dtype::kF32;
    std::vector<int64_t> shape;
    std::function<std::span<const std::byte>()> bytes;  // valid until the next call
};

/// Writes atomically: tensors by descending element size, then by name; data start aligned to 64
/// bytes. Same input, same bytes. Returns the number of bytes written; `xxh3` gets their XXH3-64.
int64_t write_safetensors(const std::filesystem::path& path, std::vector<TensorToWrite> tensors,
                          const std::map<std::string, std::string>& metadata,
                          uint64_t* xxh3 = nullptr);

}  // namespace knlp
