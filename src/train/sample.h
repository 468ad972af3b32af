#pragma once

#include "session.h"

#include "knlp/track/run_dir.h"

namespace knlp::train {

/// Lets the trained model write GPT2_GENERATION_MAX_TOKENS tokens, prints them with a bar before
/// each line and writes samples.txt. Nothing without a tokenizer or with 0 tokens.
/// False, and nothing written, when a signal comes meanwhile.
bool write_sample(Session& session, const track::RunDir& run);

}  // namespace knlp::train
