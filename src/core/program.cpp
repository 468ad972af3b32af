#include "knlp/core/program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace knlp {
namespace {

class Pipe {
public:
    Pipe() { made_ = ::pipe2(ends_.data(), O_CLOEXEC) == 0; }
    ~Pipe() {
        close_read();
        close_write();
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    bool made() const { return made_; }
    int read_end() const { return ends_[0]; }
    int write_end() const { return ends_[1]; }
    void close_read() { close_end(0); }
    void close_write() { close_end(1); }

private:
    void close_end(size_t i) {
        if (ends_[i] >= 0) ::close(ends_[i]);
        ends_[i] = -1;
    }
    std::array<int, 2> ends_{-1, -1};
    bool made_ = false;
};

/// Reads both pipes until the program has closed them.
void drain(Pipe& out, Pipe& err, Ran& ran) {
    std::array<char, 4096> buffer;
    while (out.read_end() >= 0 || err.read_end() >= 0) {
        std::array<pollfd, 2> ends = {{{out.read_end(), POLLIN, 0}, {err.read_end(), POLLIN, 0}}};
        if (::poll(ends.data(), ends.size(), -1) < 0 && errno != EINTR) return;
        for (size_t i = 0; i < ends.size(); ++i) {
            if (ends[i].fd < 0 || ends[i].revents == 0) continue;
            const ssize_t n = ::read(ends[i].fd, buffer.data(), buffer.size());
            if (n > 0)
                (i == 0 ? ran.out : ran.err).append(buffer.data(), static_cast<size_t>(n));
            else if (n == 0 || errno != EINTR)
                (i == 0 ? out : err).close_read();
        }
    }
}

class Actions {
public:
    Actions() { ::posix_spawn_file_actions_init(&actions_); }
    ~Actions() { ::posix_spawn_file_actions_destroy(&actions_); }
    Actions(const Actions&) = delete;
    Actions& operator=(const Actions&) = delete;
    posix_spawn_file_actions_t* get() { return &actions_; }

private:
    posix_spawn_file_actions_t actions_;
};

/// errno, or 0 and the process.
int spawn(std::vector<std::string> words, Actions& actions, pid_t& child) {
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    return ::posix_spawnp(&child, pointers[0], actions.get(), nullptr, pointers.data(), environ);
}

/// Waits for it.
int status_of(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::string said(const Ran& ran) {
    std::string text = ran.err.empty() ? ran.out : ran.err;
    text.erase(text.find_last_not_of(" \t\n") + 1);
    return text.substr(text.rfind('\n') + 1);
}

Ran run_program(const std::vector<std::string>& arguments, const std::filesystem::path& directory) {
    Pipe out, err;
    if (!out.made() || !err.made()) return {127, "", std::strerror(errno)};
    Actions actions;
    ::posix_spawn_file_actions_addopen(actions.get(), 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(actions.get(), out.write_end(), 1);
    ::posix_spawn_file_actions_adddup2(actions.get(), err.write_end(), 2);
    if (!directory.empty())
        ::posix_spawn_file_actions_addchdir_np(actions.get(), directory.c_str());
    pid_t child = 0;
    const int error = spawn(arguments, actions, child);
    out.close_write();
    err.close_write();
    if (error != 0) return {127, "", std::strerror(error)};
    Ran ran;
    drain(out, err, ran);
    ran.status = status_of(child);
    return ran;
}

int run_program_aloud(const std::vector<std::string>& arguments) {
    Actions actions;
    ::posix_spawn_file_actions_adddup2(actions.get(), 2, 1);
    pid_t child = 0;
    return spawn(arguments, actions, child) == 0 ? status_of(child) : 127;
}

}  // namespace knlp
