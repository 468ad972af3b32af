#pragma once

#include <exception>

namespace knlp {

/// Installs handlers for SIGINT, SIGTERM and SIGUSR1 that only set a flag; a second SIGINT exits at
/// once with 130. SIGPIPE is ignored (writes then fail with EPIPE).
void install_stop_handlers();

/// The signal that asked us to stop, or 0.
int stop_signal();

/// For tests and for time budgets that act like a signal.
void request_stop(int signal);
void clear_stop();

/// Thrown out of work that leaves nothing behind when stopped; main ends with
/// stop_exit_status(signal).
struct Stopped : std::exception {
    explicit Stopped(int by) : signal(by) {}
    const char* what() const noexcept override { return "stopped by a signal"; }
    int signal;
};
/// Throws Stopped when stop_signal() is set.
void throw_if_stopped();

/// 130 for SIGINT, 75 for SIGTERM and SIGUSR1.
int stop_exit_status(int signal);

}  // namespace knlp
