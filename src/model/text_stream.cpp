#include "knlp/model/text_stream.h"

#include <algorithm>

namespace knlp::model {
namespace {

bool is_continuation(char c) {
    return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

/// Bytes of the character that `lead` starts; 0 when it starts none.
size_t utf8_length(char lead) {
    const auto byte = static_cast<unsigned char>(lead);
    if (byte < 0x80) return 1;
    if (byte >= 0xC2 && byte <= 0xDF) return 2;
    if (byte >= 0xE0 && byte <= 0xEF) return 3;
    if (byte >= 0xF0 && byte <= 0xF4) return 4;
    return 0;
}

/// Length of the longest end of `text` that is a proper beginning of `stop`.
size_t overlap(std::string_view text, std::string_view stop) {
    for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n)
        if (text.ends_with(stop.substr(0, n))) return n;
    return 0;
}

}  // namespace

size_t unfinished_utf8(std::string_view text) {
    for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
        const char c = text[text.size() - back];
        if (is_continuation(c)) continue;
        return utf8_length(c) > back ? back : 0;
    }
    return 0;
}

TextStream::TextStream(std::vector<std::string> stop) : stop_(std::move(stop)) {
    std::erase_if(stop_, [](const std::string& text) { return text.empty(); });
}

std::string TextStream::take(size_t bytes) {
    std::string piece = held_.substr(0, bytes);
    held_.erase(0, bytes);
    text_ += piece;
    return piece;
}

std::string TextStream::push(std::string_view bytes) {
    if (stopped_) return {};
    held_ += bytes;
    size_t first = std::string::npos;
    for (const std::string& stop : stop_) first = std::min(first, held_.find(stop));
    if (first != std::string::npos) {
        stopped_ = true;
        std::string piece = take(first);
        held_.clear();
        return piece;
    }
    size_t hold = unfinished_utf8(held_);
    for (const std::string& stop : stop_) hold = std::max(hold, overlap(held_, stop));
    return take(held_.size() - hold);
}

std::string TextStream::finish() {
    return stopped_ ? std::string() : take(held_.size());
}

}  // namespace knlp::model
