#include "knlp/core/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace knlp {

namespace {

std::atomic<int> stop_flag{0};
std::atomic<int> interrupts{0};
static_assert(std::atomic<int>::is_always_lock_free,
              "the handler may only touch lock-free atomics");

void note_signal(int signal) {
    if (signal == SIGINT && interrupts.fetch_add(1) > 0) ::_exit(130);
    int none = 0;
    stop_flag.compare_exchange_strong(none, signal);
}

}  // namespace

void install_stop_handlers() {
    struct sigaction action {};
    sigemptyset(&action.sa_mask);
    action.sa_handler = note_signal;
    // Library code below us does not expect EINTR.
    action.sa_flags = SA_RESTART;
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) ::sigaction(signal, &action, nullptr);
    action.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &action, nullptr);
}

int stop_signal() {
    return stop_flag.load();
}

void request_stop(int signal) {
    int none = 0;
    stop_flag.compare_exchange_strong(none, signal);
}

void clear_stop() {
    stop_flag.store(0);
    interrupts.store(0);
}

void throw_if_stopped() {
    if (const int signal = stop_signal(); signal != 0) throw Stopped(signal);
}

int stop_exit_status(int signal) {
    return signal == SIGINT ? 130 : 75;
}

}  // namespace knlp
