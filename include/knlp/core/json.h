#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace knlp {

/// Parses JSON text strictly: no comments, no duplicate keys, at most 200 levels. Error{kData}
/// "<where>: not valid JSON at byte N: reason".
nlohmann::json parse_json(std::string_view text, std::string_view where);

/// parse_json of a whole file.
nlohmann::json read_json(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 30);

/// Sorted keys, no blanks, floats by shortest round trip; NaN and infinities as the strings
/// "nan", "inf", "-inf". One line, no newline at the end.
std::string canonical_json(const nlohmann::json& value);

/// Two-space indentation and a newline at the end, for files people read.
std::string pretty_json(const nlohmann::json& value);

}  // namespace knlp
