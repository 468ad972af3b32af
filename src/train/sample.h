#pragma once

#include "session.h"

#include <filesystem>

namespace knlp::train {

/// Lets the trained model write GPT2_GENERATION_MAX_TOKENS tokens, prints them with a bar before
/// each line and writes samples.txt. Nothing without a tokenizer or with 0 tokens.
/// False, and nothing written, when a signal comes meanwhile.
bool write_sample(Session& session, const std::filesystem::path& run_directory);

}  // namespace knlp::train
