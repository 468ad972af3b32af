#include "safetensors_header.h"

#include "knlp/core/error.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace knlp {

namespace {

constexpr std::array<std::pair<Dtype, std::string_view>, 15> kDtypes = {
    {{Dtype::kBool, "BOOL"},
     {Dtype::kU8, "U8"},
     {Dtype::kI8, "I8"},
     {Dtype::kI16, "I16"},
     {Dtype::kU16, "U16"},
     {Dtype::kF16, "F16"},
     {Dtype::kBf16, "BF16"},
     {Dtype::kI32, "I32"},
     {Dtype::kU32, "U32"},
     {Dtype::kF32, "F32"},
     {Dtype::kF64, "F64"},
     {Dtype::kI64, "I64"},
     {Dtype::kU64, "U64"},
     {Dtype::kF8E5M2, "F8_E5M2"},
     {Dtype::kF8E4M3, "F8_E4M3"}}};

constexpr size_t kMaxTensors = 1000000;
constexpr size_t kMaxRank = 16;
constexpr uint64_t kMaxNumber = uint64_t{1}
                                << 53;  // beyond it JSON numbers are not exact everywhere

/// Events of the JSON parser turned into entries. No tree is built, so a hostile header cannot cost
/// more memory than a few times its size.
class HeaderSax {
public:
    HeaderSax(Header& header, std::string_view where) : header_(header), where_(where) {}

    bool key(std::string& text) {
        if (place_ == Place::kTop) return top_key(text);
        if (place_ == Place::kMetadata) {
            if (header_.metadata.contains(text)) refuse("__metadata__ key '{}' occurs twice", text);
            metadata_key_ = text;
            return true;
        }
        // Place::kTensor: the parser never reports a key anywhere else.
        static constexpr std::array<std::string_view, 3> kFields = {"dtype", "shape",
                                                                    "data_offsets"};
        const auto found = std::find(kFields.begin(), kFields.end(), text);
        if (found == kFields.end()) refuse("tensor '{}' has an unknown field '{}'", name(), text);
        field_ = found - kFields.begin();
        if (std::exchange(seen_[static_cast<size_t>(field_)], true))
            refuse("tensor '{}' has the field '{}' twice", name(), text);
        return true;
    }

    bool string(std::string& text) {
        if (place_ == Place::kMetadata) {
            header_.metadata.emplace(metadata_key_, text);
            return true;
        }
        if (place_ != Place::kTensor || field_ != 0) return wrong("a string");
        const auto row = std::find_if(kDtypes.begin(), kDtypes.end(),
                                      [&](const auto& pair) { return pair.second == text; });
        if (row == kDtypes.end()) refuse("tensor '{}' has unknown dtype '{}'", name(), text);
        header_.entries.back().dtype = row->first;
        return true;
    }

    bool number_unsigned(uint64_t value) {
        if (place_ == Place::kShape) {
            std::vector<int64_t>& shape = header_.entries.back().shape;
            if (value > kMaxNumber) return wrong("a number above 2^53");
            if (shape.size() == kMaxRank)
                refuse("tensor '{}' has more than {} dimensions", name(), kMaxRank);
            shape.push_back(static_cast<int64_t>(value));
            return true;
        }
        if (place_ != Place::kOffsets) return wrong("a number");
        if (value > kMaxNumber) return wrong("a number above 2^53");
        if (offsets_ == 2) refuse("tensor '{}' has more than two data_offsets", name());
        HeaderEntry& entry = header_.entries.back();
        (offsets_++ == 0 ? entry.begin : entry.end) = static_cast<int64_t>(value);
        return true;
    }

    bool start_object(size_t) {
        switch (place_) {
            case Place::kOutside:
                place_ = Place::kTop;
                return true;
            case Place::kTop:
                place_ = metadata_next_ ? Place::kMetadata : Place::kTensor;
                return true;
            default:
                return wrong("an object");
        }
    }

    bool end_object() {
        if (place_ == Place::kTensor && !(seen_[0] && seen_[1] && seen_[2]))
            refuse("tensor '{}' lacks dtype, shape or data_offsets", name());
        place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
        return true;
    }

    bool start_array(size_t) {
        if (place_ != Place::kTensor || field_ == 0) return wrong("a list");
        place_ = field_ == 1 ? Place::kShape : Place::kOffsets;
        return true;
    }

    bool end_array() {
        if (place_ == Place::kOffsets && offsets_ != 2)
            refuse("tensor '{}' has {} data_offsets, two were expected", name(), offsets_);
        place_ = Place::kTensor;
        return true;
    }

    bool null() { return wrong("null"); }
    bool boolean(bool) { return wrong("a truth value"); }
    bool number_integer(int64_t) { return wrong("a negative number"); }
    bool number_float(double, const std::string&) { return wrong("a number that is not whole"); }
    bool binary(nlohmann::json::binary_t&) { return wrong("binary data"); }
    bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) {
        refuse("the header is not valid JSON at byte {} of it", position);
    }

private:
    enum class Place { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };

    template <class... Args>
    [[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) const {
        fail(kData, "{}: {}", where_, fmt::format(text, std::forward<Args>(args)...));
    }
    bool wrong(std::string_view found) const {
        if (header_.entries.empty() || place_ == Place::kOutside || metadata_next_)
            refuse("the header holds {} where the format does not allow it", found);
        refuse("tensor '{}' holds {} where the format does not allow it", name(), found);
    }
    std::string_view name() const { return header_.entries.back().name; }

    bool top_key(const std::string& text) {
        metadata_next_ = text == "__metadata__";
        if (metadata_next_) {
            if (std::exchange(metadata_seen_, true)) refuse("__metadata__ occurs twice");
            return true;
        }
        if (header_.entries.size() == kMaxTensors) refuse("more than {} tensors", kMaxTensors);
        header_.entries.emplace_back().name = text;
        seen_ = {};
        offsets_ = 0;
        return true;
    }

    Header& header_;
    std::string_view where_;
    Place place_ = Place::kOutside;
    bool metadata_next_ = false, metadata_seen_ = false;
    std::string metadata_key_;
    std::ptrdiff_t field_ = 0;
    std::array<bool, 3> seen_{};
    int offsets_ = 0;
};

/// The name that occurs twice, if one does.
std::optional<std::string_view> repeated_name(const std::vector<HeaderEntry>& entries) {
    std::vector<std::string_view> names;
    names.reserve(entries.size());
    for (const HeaderEntry& entry : entries) names.push_back(entry.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice == names.end()) return std::nullopt;
    return *twice;
}

}  // namespace

std::string_view name_of(Dtype dtype) {
    for (const auto& [value, text] : kDtypes)
        if (value == dtype) return text;
    KNLP_CHECK(false && "dtype without a name");
    return "";
}

int64_t size_of(Dtype dtype) {
    switch (dtype) {
        case Dtype::kBool:
        case Dtype::kU8:
        case Dtype::kI8:
        case Dtype::kF8E5M2:
        case Dtype::kF8E4M3:
            return 1;
        case Dtype::kI16:
        case Dtype::kU16:
        case Dtype::kF16:
        case Dtype::kBf16:
            return 2;
        case Dtype::kI32:
        case Dtype::kU32:
        case Dtype::kF32:
            return 4;
        case Dtype::kF64:
        case Dtype::kI64:
        case Dtype::kU64:
            return 8;
    }
    KNLP_CHECK(false && "dtype without a size");
    return 0;
}

Header parse_header(std::string_view text, std::string_view where) {
    if (text.empty() || text[0] != '{')
        fail(kData, "{}: the header does not start with '{{'", where);
    Header header;
    HeaderSax sax(header, where);
    nlohmann::json::sax_parse(text, &sax);
    if (const auto twice = repeated_name(header.entries))
        fail(kData, "{}: tensor '{}' occurs twice", where, *twice);
    return header;
}

}  // namespace knlp
