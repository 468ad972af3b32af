#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace knlp::data {

class TokenFile;

/// The document that each window begins in, counted from 0: how many ends of text (id `eot`) lie
/// before its start. Starts ascend. Empty where there is none: eot < 0, or no end of text before
/// the last start.
std::vector<int64_t> window_documents(const TokenFile& tokens, std::span<const int64_t> starts,
                                      int64_t eot);

}  // namespace knlp::data
