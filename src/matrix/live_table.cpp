#include "live_table.h"

#include "knlp/core/log.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace knlp::matrix {
namespace {

struct winsize terminal_size() {
    struct winsize size {};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) size.ws_col = 80;
    if (size.ws_row == 0) size.ws_row = 24;
    return size;
}

void put(const std::string& text) {
    for (size_t done = 0; done < text.size();) {
        const ssize_t n = ::write(STDERR_FILENO, text.data() + done, text.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        done += static_cast<size_t>(n);
    }
}

}  // namespace

LiveTable::LiveTable() : active_(log::LiveLine().active()) {}

size_t LiveTable::width() const {
    return std::max<size_t>(20, terminal_size().ws_col) - 1;
}

size_t LiveTable::height() const {
    return std::max<size_t>(3, terminal_size().ws_row) - 1;
}

void LiveTable::clear() {
    if (drawn_ > 0) put(fmt::format("\033[{}A\r\033[J", drawn_));
    drawn_ = 0;
}

void LiveTable::draw(const std::vector<std::string>& lines) {
    if (!active_) return;
    const bool bold = log::use_color(STDERR_FILENO);
    std::string text = drawn_ > 0 ? fmt::format("\033[{}A\r", drawn_) : "";
    for (size_t i = 0; i < lines.size(); ++i)
        text += fmt::format("{}{}{}\033[K\n", bold && i == 0 ? "\033[1m" : "", lines[i],
                            bold && i == 0 ? "\033[0m" : "");
    put(text + "\033[J");
    drawn_ = lines.size();
}

}  // namespace knlp::matrix
