#include "src/data/unicode.h"

#include <algorithm>

namespace knlp::data {

namespace {

struct ClassRange {
    uint32_t first, last;
    CharClass name;
};

constexpr ClassRange kRanges[] = {
#include "src/data/unicode_ranges.inc"
};

ClassTable make_class_table() {
    std::vector<CharClass> flat(0x110000, CharClass::kOther);
    for (const ClassRange& range : kRanges)
        std::fill(flat.begin() + range.first, flat.begin() + range.last + 1, range.name);
    ClassTable table;
    for (size_t b = 0; b < table.block.size(); ++b) {
        const auto begin = flat.begin() + static_cast<std::ptrdiff_t>(b) * 256;
        size_t same = 0;
        while (same * 256 < table.classes.size() &&
               !std::equal(begin, begin + 256,
                           table.classes.begin() + static_cast<std::ptrdiff_t>(same) * 256))
            ++same;
        if (same * 256 == table.classes.size())
            table.classes.insert(table.classes.end(), begin, begin + 256);
        table.block[b] = static_cast<uint16_t>(same);
    }
    return table;
}

}  // namespace

const ClassTable& class_table() {
    static const ClassTable table = make_class_table();
    return table;
}

}  // namespace knlp::data
