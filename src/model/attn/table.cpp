#include "knlp/core/error.h"
#include "knlp/model/attention.h"

#include <fmt/ranges.h>

namespace knlp::model {

#define X(name) extern const AttentionType attn_##name;
#include "generated/attn.inc"
#undef X

std::span<const AttentionType* const> attention_types() {
    static const AttentionType* const rows[] = {
#define X(name) &attn_##name,
#include "generated/attn.inc"
#undef X
    };
    return rows;
}

const AttentionType& attention_type(std::string_view name) {
    std::vector<std::string> known;
    for (const AttentionType* row : attention_types()) {
        if (row->name == name) return *row;
        known.emplace_back(row->name);
    }
    fail_code(kNotAvailable, "E_NOT_BUILT",
              "attention variant '{}' is not in this build{}; `make menuconfig` "
              "switches variants on, this binary has: {}",
              name, did_you_mean(name, known), fmt::join(known, ", "));
}

}  // namespace knlp::model
