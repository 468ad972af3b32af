#include "knlp/core/safetensors.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "safetensors_header.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <optional>

namespace knlp {

namespace {

constexpr uint64_t kMaxHeaderBytes = 100000000;
constexpr size_t kAlignment = 64;  // of the data start, for vector loads from the mapping

/// Bytes of a tensor, or nothing when the count does not fit 63 bits.
std::optional<int64_t> tensor_bytes(const std::vector<int64_t>& shape, Dtype dtype) {
    // A zero dimension makes the product 0 whatever the others are; overflow before it still
    // counts.
    int64_t bytes = size_of(dtype);
    for (const int64_t dimension : shape)
        if (dimension < 0 || __builtin_mul_overflow(bytes, dimension, &bytes)) return std::nullopt;
    return bytes;
}

uint64_t header_length(std::span<const std::byte> file, const std::string& where) {
    if (file.size() < 8)
        fail(kData, "{}: {} bytes, a safetensors file has at least 8", where, file.size());
    uint64_t length = 0;
    for (size_t i = 0; i < 8; ++i) length |= static_cast<uint64_t>(file[i]) << (8 * i);
    if (length > kMaxHeaderBytes)
        fail(kData, "{}: header of {} bytes announced, at most {} are allowed", where, length,
             kMaxHeaderBytes);
    if (length > file.size() - 8)
        fail(kData, "{}: header of {} bytes announced, the file ends after {}; it is truncated",
             where, length, file.size() - 8);
    return length;
}

/// Entries in file order must tile [0, data_bytes) without gap or overlap.
void check_layout(const std::vector<HeaderEntry>& entries, int64_t data_bytes,
                  const std::string& where) {
    int64_t cursor = 0;
    for (const HeaderEntry& e : entries) {
        if (e.begin > e.end)
            fail(kData, "{}: tensor '{}' ends at {} before it begins at {}", where, e.name, e.end,
                 e.begin);
        const std::optional<int64_t> bytes = tensor_bytes(e.shape, e.dtype);
        if (!bytes) fail(kData, "{}: tensor '{}' has a shape whose size overflows", where, e.name);
        if (*bytes != e.end - e.begin)
            fail(kData,
                 "{}: tensor '{}' of type {} needs {} bytes by its shape, data_offsets give {}",
                 where, e.name, name_of(e.dtype), *bytes, e.end - e.begin);
        if (e.begin < cursor)
            fail(kData,
                 "{}: tensor '{}' begins at {} inside the tensor before it, which ends at {}",
                 where, e.name, e.begin, cursor);
        if (e.begin > cursor)
            fail(kData, "{}: {} unused bytes before tensor '{}' at {}", where, e.begin - cursor,
                 e.name, cursor);
        if (e.end > data_bytes)
            fail(kData,
                 "{}: tensor '{}' needs bytes up to {}, the data end at {}; the file is truncated",
                 where, e.name, e.end, data_bytes);
        cursor = e.end;
    }
    if (cursor != data_bytes)
        fail(kData, "{}: tensors end at byte {} of the data, the file at {}", where, cursor,
             data_bytes);
}

}  // namespace

struct SafetensorsFile::State {
    explicit State(const std::filesystem::path& path) : file(path) {}
    MappedFile file;
    std::vector<TensorView> tensors;
    std::vector<size_t> by_name;
    std::map<std::string, std::string> metadata;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : state_(std::make_unique<State>(path)) {
    const std::string where = path.string();
    const std::span<const std::byte> file = state_->file.bytes();
    const uint64_t length = header_length(file, where);
    Header header = parse_header(state_->file.text().substr(8, length), where);
    const std::span<const std::byte> data = file.subspan(8 + length);

    std::stable_sort(header.entries.begin(), header.entries.end(),
                     [](const HeaderEntry& a, const HeaderEntry& b) {
                         return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                     });
    check_layout(header.entries, std::ssize(data), where);

    state_->metadata = std::move(header.metadata);
    state_->tensors.reserve(header.entries.size());
    for (HeaderEntry& e : header.entries)
        state_->tensors.push_back({.name = std::move(e.name),
                                   .dtype = e.dtype,
                                   .shape = std::move(e.shape),
                                   .bytes = data.subspan(static_cast<size_t>(e.begin),
                                                         static_cast<size_t>(e.end - e.begin)),
                                   .file_offset = static_cast<int64_t>(8 + length) + e.begin});
    state_->by_name.resize(state_->tensors.size());
    for (size_t i = 0; i < state_->by_name.size(); ++i) state_->by_name[i] = i;
    std::sort(state_->by_name.begin(), state_->by_name.end(), [this](size_t a, size_t b) {
        return state_->tensors[a].name < state_->tensors[b].name;
    });
}

SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

const std::vector<TensorView>& SafetensorsFile::tensors() const {
    return state_->tensors;
}

const TensorView* SafetensorsFile::find(std::string_view name) const {
    const auto found = std::lower_bound(
        state_->by_name.begin(), state_->by_name.end(), name,
        [this](size_t i, std::string_view n) { return state_->tensors[i].name < n; });
    if (found == state_->by_name.end() || state_->tensors[*found].name != name) return nullptr;
    return &state_->tensors[*found];
}

const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
    return state_->metadata;
}

namespace {

std::string quoted(const std::string& text, const std::filesystem::path& path) {
    try {
        return nlohmann::json(text).dump();
    } catch (const nlohmann::json::type_error&) {
        fail(kData, "{}: a tensor name or metadata text is not valid UTF-8", path.string());
    }
}

/// Length, JSON and padding: everything before the data.
std::string make_header(const std::filesystem::path& path,
                        const std::vector<TensorToWrite>& tensors,
                        const std::map<std::string, std::string>& metadata) {
    std::string text = "{";
    if (!metadata.empty()) {
        text += "\"__metadata__\":{";
        for (const auto& [key, value] : metadata)
            text += fmt::format("{}{}:{}", text.back() == '{' ? "" : ",", quoted(key, path),
                                quoted(value, path));
        text += "}";
    }
    int64_t begin = 0;
    for (const TensorToWrite& t : tensors) {
        const std::optional<int64_t> bytes = tensor_bytes(t.shape, t.dtype);
        int64_t end = 0;
        KNLP_CHECK(bytes && !__builtin_add_overflow(begin, *bytes, &end));
        text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                            text.size() == 1 ? "" : ",", quoted(t.name, path), name_of(t.dtype),
                            fmt::join(t.shape, ","), begin, end);
        begin = end;
    }
    text += "}";
    text.append((kAlignment - (8 + text.size()) % kAlignment) % kAlignment, ' ');
    if (text.size() > kMaxHeaderBytes)
        fail(kData, "{}: header of {} bytes, at most {} are allowed", path.string(), text.size(),
             kMaxHeaderBytes);
    std::string length(8, '\0');
    for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>((text.size() >> (8 * i)) & 0xffu);
    return length + text;
}

}  // namespace

int64_t write_safetensors(const std::filesystem::path& path, std::vector<TensorToWrite> tensors,
                          const std::map<std::string, std::string>& metadata, uint64_t* xxh3) {
    std::sort(tensors.begin(), tensors.end(), [](const TensorToWrite& a, const TensorToWrite& b) {
        const int64_t wide = size_of(a.dtype), other = size_of(b.dtype);
        return wide != other ? wide > other : a.name < b.name;
    });
    std::vector<std::string_view> names;
    for (const TensorToWrite& t : tensors) names.push_back(t.name);
    std::sort(names.begin(), names.end());
    KNLP_CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
    KNLP_CHECK(!std::binary_search(names.begin(), names.end(), "__metadata__"));

    const std::string header = make_header(path, tensors, metadata);
    int64_t total = std::ssize(header);  // the header's offsets are checked against overflow
    for (const TensorToWrite& t : tensors) total += *tensor_bytes(t.shape, t.dtype);
    AtomicFile file(path);
    file.expect(total);
    file.write(header);
    for (const TensorToWrite& t : tensors) {
        const std::span<const std::byte> bytes = t.bytes();
        KNLP_CHECK(std::ssize(bytes) == *tensor_bytes(t.shape, t.dtype));
        file.write(bytes);
    }
    file.commit();
    if (xxh3 != nullptr) *xxh3 = file.xxh3();
    return file.bytes_written();
}

}  // namespace knlp
