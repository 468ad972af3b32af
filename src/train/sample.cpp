#include "sample.h"

#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/model/generation.h"

#include <sstream>

namespace knlp::train {

namespace {

/// Bytes that would move a terminal's cursor or colour become a dot.
std::string printable(const std::string& line) {
    std::string text = line;
    for (char& c : text)
        if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) c = '.';
    return text;
}

}  // namespace

bool write_sample(Session& s, const track::RunDir& run) {
    if (!s.tokenizer || s.train.sample_tokens <= 0) return true;
    model::GenerationOptions options;
    options.sampling = {.temperature = s.train.sample_temperature,
                        .top_k = s.train.sample_top_k,
                        .top_p = s.train.sample_top_p,
                        .seed = s.general.seed};
    options.max_tokens = s.train.sample_tokens;
    options.overflow = model::Overflow::kSlide;
    options.stop_at_eot = false;
    options.should_stop = [] { return stop_signal() != 0; };
    // An empty prompt starts from end-of-text; a tokenizer without one starts from a new line.
    const std::string prompt = s.tokenizer->eot() >= 0 ? "" : "\n";
    const std::string text = model::generate_text(*s.gpt2, *s.tokenizer, prompt, options);
    if (stop_signal() != 0) return false;
    run.write("samples.txt", prompt + text + "\n");
    log::info("sample");
    std::istringstream lines(prompt + text);
    for (std::string line; std::getline(lines, line);) log::info("  | {}", printable(line));
    return true;
}

}  // namespace knlp::train
