#include "knlp/core/log.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

namespace knlp::log {

namespace {

struct Logger {
    std::mutex mutex;
    Level level = Level::kInfo;
    std::unique_ptr<AppendFile> file;  // the run's output.log
    bool file_failed = false;
    bool live = false;  // a live line is on the screen now
};

Logger& logger() {
    static Logger one;
    return one;
}

struct Style {
    const char* word;  // in front of the text
    const char* color;
};

Style style_of(Level level) {
    switch (level) {
        case Level::kDebug:
            return {"debug: ", "\033[2m"};
        case Level::kInfo:
            return {"", ""};
        case Level::kWarning:
            return {"warning: ", "\033[33m"};
        case Level::kError:
            return {"error: ", "\033[31m"};
    }
    return {"", ""};
}

/// One write(2) so that lines of two processes never mix; a closed stderr is no reason to stop.
void put(const std::string& text) {
    size_t done = 0;
    while (done < text.size()) {
        const ssize_t n = ::write(STDERR_FILENO, text.data() + done, text.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        done += static_cast<size_t>(n);
    }
}

void put_in_file(Logger& log, Level level, std::string_view text) {
    if (!log.file) return;
    try {
        log.file->append(fmt::format("{} {}{}\n", utc_now(), style_of(level).word, text));
    } catch (const Error& error) {
        // A full disk must not end the run by its log; said once.
        if (!log.file_failed) put(fmt::format("warning: {}\n", error.what()));
        log.file_failed = true;
    }
}

/// Width of the terminal; 80 when it does not say.
size_t columns() {
    struct winsize size {};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

/// The first `width` characters of UTF-8 text, never half a character.
std::string_view cut(std::string_view text, size_t width) {
    size_t shown = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const bool starts = (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
        if (starts && shown++ == width) return text.substr(0, i);
    }
    return text;
}

constexpr const char* kClearLine = "\r\033[K";

}  // namespace

void set_level(Level level) {
    const std::lock_guard lock(logger().mutex);
    logger().level = level;
}

void write(Level level, std::string_view text) {
    Logger& log = logger();
    const std::lock_guard lock(log.mutex);
    if (level < log.level) return;
    const Style style = style_of(level);
    const bool color = use_color(STDERR_FILENO) && *style.color != '\0';
    put(fmt::format("{}{}{}{}{}\n", log.live ? kClearLine : "", color ? style.color : "",
                    style.word, color ? "\033[0m" : "", text));
    log.live = false;
    put_in_file(log, level, text);
}

void open_run_log(const std::filesystem::path& path) {
    Logger& log = logger();
    const std::lock_guard lock(log.mutex);
    log.file = std::make_unique<AppendFile>(path);
    log.file_failed = false;
}

void close_run_log() {
    const std::lock_guard lock(logger().mutex);
    logger().file.reset();
}

LiveLine::LiveLine() = default;

LiveLine::~LiveLine() {
    Logger& log = logger();
    const std::lock_guard lock(log.mutex);
    if (log.live) put(kClearLine);
    log.live = false;
}

bool LiveLine::active() const {
    const char* term = std::getenv("TERM");
    return ::isatty(STDERR_FILENO) == 1 && (term == nullptr || std::string_view(term) != "dumb");
}

void LiveLine::update(std::string_view text) {
    if (!active()) return;
    Logger& log = logger();
    const std::lock_guard lock(log.mutex);
    if (log.level > Level::kInfo) return;
    put(fmt::format("{}{}", kClearLine, cut(text, columns() - 1)));
    log.live = true;
}

bool use_color(int fd) {
    const char* none = std::getenv("NO_COLOR");
    const char* term = std::getenv("TERM");
    return (none == nullptr || *none == '\0') && term != nullptr &&
           std::string_view(term) != "dumb" && ::isatty(fd) == 1;
}

}  // namespace knlp::log
