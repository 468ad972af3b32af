#pragma once

#include <cstdint>

namespace knlp::data {

/// Header of llm.c's token files: 256 int32, of which [0] magic, [1] version, [2] token count.
inline constexpr int32_t kLlmcMagic = 20240520;
inline constexpr int32_t kLlmcVersion = 1;
inline constexpr int64_t kLlmcHeaderBytes = 256 * 4;

/// Largest vocabulary whose ids fit uint16.
inline constexpr int64_t kMaxVocab16 = 65536;

}  // namespace knlp::data
