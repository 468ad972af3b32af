#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::model {

/// Turns the bytes of token after token into text that can be shown at once. Holds back the start
/// of a UTF-8 character until the rest has come (bytes that are not UTF-8 pass as they are) and
/// anything that may become a stop text.
class TextStream {
public:
    explicit TextStream(std::vector<std::string> stop = {});  // empty stop texts are left out

    /// Adds bytes; returns what became certain. Empty once stopped().
    std::string push(std::string_view bytes);
    /// No more bytes will come: returns what was held back.
    std::string finish();

    /// A stop text has been met; it and what follows are not part of the text.
    bool stopped() const { return stopped_; }
    /// Everything returned so far.
    const std::string& text() const { return text_; }

private:
    std::string take(size_t bytes);
    std::vector<std::string> stop_;
    std::string held_, text_;
    bool stopped_ = false;
};

/// Bytes at the end of `text` that begin a UTF-8 character whose other bytes are missing: 0 to 3.
size_t unfinished_utf8(std::string_view text);

}  // namespace knlp::model
