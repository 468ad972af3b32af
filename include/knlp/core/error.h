#pragma once

#include <fmt/format.h>

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace knlp {

/// What went wrong, as the exit status tells it: 2 2 3 4 5 6 1.
enum class ErrorKind { kUsage, kConfig, kData, kRun, kNotAvailable, kLocked, kCheckFailed };
using enum ErrorKind;

/// `text` as one line that is safe on a terminal: control characters, which names in foreign files
/// may hold, become \xNN.
std::string one_line(std::string_view text);

/// A mistake of the user's, a bad file or a failing machine. `main` prints it once as
/// `knlp: error[CODE]: text` and exits with exit_status(kind). Our own mistakes are KNLP_CHECK.
class Error : public std::runtime_error {
public:
    Error(ErrorKind kind, std::string code, const std::string& text)
        : std::runtime_error(one_line(text)), kind_(kind), code_(std::move(code)) {}
    ErrorKind kind() const { return kind_; }
    const std::string& code() const { return code_; }

private:
    ErrorKind kind_;
    std::string code_;
};

/// Exit status of a kind: DESIGN's table in docs/exit-status.md.
int exit_status(ErrorKind kind);

/// Code used when `fail` is given none: E_USAGE E_CONFIG E_DATA E_RUN E_NOT_AVAILABLE E_LOCKED
/// E_CHECK.
std::string_view default_code(ErrorKind kind);

template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> text, Args&&... args) {
    throw Error(kind, std::string(default_code(kind)),
                fmt::format(text, std::forward<Args>(args)...));
}

/// As `fail`, with a code of its own, such as "E_UNKNOWN_SYMBOL".
template <class... Args>
[[noreturn]] void fail_code(ErrorKind kind, std::string_view code, fmt::format_string<Args...> text,
                            Args&&... args) {
    throw Error(kind, std::string(code), fmt::format(text, std::forward<Args>(args)...));
}

/// ", did you mean A, B or C?" for the names nearest to `wrong` (edit distance), or "" when none is
/// near.
std::string did_you_mean(std::string_view wrong, std::span<const std::string> names);

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace knlp

/// Our own mistake when false: prints and aborts (status 70), in release builds too.
#define KNLP_CHECK(condition) \
    ((condition) ? (void)0 : ::knlp::check_failed(#condition, __FILE__, __LINE__))
#ifdef NDEBUG
#define KNLP_DCHECK(condition) ((void)0)
#else
#define KNLP_DCHECK(condition) KNLP_CHECK(condition)
#endif
