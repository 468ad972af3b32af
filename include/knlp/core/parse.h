#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace knlp {

/// Numbers from text, the same in every locale. The whole text must match, without blanks; nothing
/// is guessed: a text outside the grammar or the type's range gives nullopt.

/// [+-]?digits
std::optional<int64_t> parse_int(std::string_view text);

/// digits, up to 2^64 - 1
std::optional<uint64_t> parse_unsigned(std::string_view text);

/// [+-]?digits[.digits][e[+-]digits]; no inf, nan or hexadecimal; overflow to infinity is refused.
std::optional<double> parse_real(std::string_view text);

/// digits[.digits] with one of the suffixes B K M G T (1024 each), KB MB GB TB (1000 each),
/// KiB MiB GiB TiB (1024 each), any case; no suffix: bytes. Rounded down.
std::optional<int64_t> parse_bytes(std::string_view text);

}  // namespace knlp
