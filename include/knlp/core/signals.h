#pragma once

namespace knlp {

/// Installs handlers for SIGINT, SIGTERM and SIGUSR1 that only set a flag; a second SIGINT exits at once
/// with 130. SIGPIPE is ignored (writes then fail with EPIPE).
void install_stop_handlers();

/// The signal that asked us to stop, or 0.
int stop_signal();

/// For tests and for time budgets that act like a signal.
void request_stop(int signal);
void clear_stop();

/// 130 for SIGINT, 75 for SIGTERM and SIGUSR1.
int stop_exit_status(int signal);

}  // namespace knlp
