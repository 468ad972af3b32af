#pragma once

#include "knlp/core/safetensors.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace knlp {

/// One entry of a safetensors header, offsets relative to the data start; nothing checked against
/// the file.
struct HeaderEntry {
    std::string name;
    Dtype dtype = Dtype::kF32;
    std::vector<int64_t> shape;
    int64_t begin = 0, end = 0;
};

struct Header {
    std::vector<HeaderEntry> entries;  // in the order of the text
    std::map<std::string, std::string> metadata;
};

/// Parses the JSON of a header. Error{kData} starting with `where` for anything the format does not
/// allow: syntax, UTF-8, unknown or missing or repeated fields, numbers that are no whole numbers
/// in [0, 2^53], unknown dtypes, rank over 16, more than 1,000,000 tensors.
Header parse_header(std::string_view text, std::string_view where);

}  // namespace knlp
