#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string_view>
#include <utility>

namespace knlp::log {

enum class Level { kDebug, kInfo, kWarning, kError };

/// Messages go to stderr (results go to stdout), in colour only on a terminal without NO_COLOR, and
/// also to the run's output.log once open_run_log was called.
void set_level(Level level);
void write(Level level, std::string_view text);
void open_run_log(const std::filesystem::path& path);
void close_run_log();

template <class... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
    write(Level::kDebug, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
    write(Level::kInfo, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> text, Args&&... args) {
    write(Level::kWarning, fmt::format(text, std::forward<Args>(args)...));
}

/// One line that is rewritten in place on a terminal. Elsewhere `update` does nothing and callers
/// print plain lines by info(). Any log line first clears the live line.
class LiveLine {
public:
    LiveLine();
    ~LiveLine();          // clears it
    bool active() const;  // stderr is a terminal
    void update(std::string_view text);
};

/// True when colour may be used on this stream (1 or 2): a terminal, TERM not dumb, NO_COLOR unset.
bool use_color(int fd);

}  // namespace knlp::log
