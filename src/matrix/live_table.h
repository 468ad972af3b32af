#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace knlp::matrix {

/// Lines at the bottom of a terminal that are drawn anew in place. Elsewhere nothing.
class LiveTable {
public:
    LiveTable();
    ~LiveTable() { clear(); }
    LiveTable(const LiveTable&) = delete;
    LiveTable& operator=(const LiveTable&) = delete;

    bool active() const { return active_; }
    size_t width() const;
    size_t height() const;
    /// At most height() lines of width() characters; the first in bold where colour may be used.
    void draw(const std::vector<std::string>& lines);
    void clear();

private:
    bool active_;
    size_t drawn_ = 0;  // lines on the screen now
};

}  // namespace knlp::matrix
