#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace knlp::data {

/// What GPT-2's word pattern tells apart: \p{L}, \p{N}, White_Space and the rest.
enum class CharClass : uint8_t { kOther, kLetter, kNumber, kSpace };

/// Classes of all code points: 256-entry blocks, equal ones stored once.
struct ClassTable {
    std::array<uint16_t, 0x1100> block{};  // by code point / 256: index of its block
    std::vector<CharClass> classes;        // [blocks * 256]

    CharClass operator[](uint32_t code_point) const {
        return classes[std::size_t{block[code_point >> 8]} * 256 + (code_point & 255)];
    }
};

/// Built on first use from unicode_ranges.inc.
const ClassTable& class_table();

}  // namespace knlp::data
