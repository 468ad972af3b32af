#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::data {

/// The distinct code points of some texts.
class CodePoints {
public:
    CodePoints() : seen_(0x110000) {}
    /// Error{kData} with the offset of the first byte that is not UTF-8.
    void add(std::string_view text);
    std::string sorted_text() const;

private:
    std::vector<bool> seen_;
};

}  // namespace knlp::data
