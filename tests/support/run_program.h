#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace knlp::test {

/// How a program ended. status is its exit status, or 128 + the signal that ended it.
struct Finished {
    int status = -1;
    std::string out, err;
};

/// Directory of the running test binary; helpers built beside it are found there.
inline std::filesystem::path binary_directory() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

namespace detail {

/// Reads both pipes to their ends.
inline void drain(int out_fd, int err_fd, Finished& result) {
    std::array<pollfd, 2> pipes = {{{out_fd, POLLIN, 0}, {err_fd, POLLIN, 0}}};
    int open_pipes = 2;
    std::array<char, 65536> buffer;
    while (open_pipes > 0) {
        if (::poll(pipes.data(), pipes.size(), -1) < 0 && errno != EINTR) break;
        for (size_t i = 0; i < pipes.size(); ++i) {
            if (pipes[i].fd < 0 || pipes[i].revents == 0) continue;
            const ssize_t n = ::read(pipes[i].fd, buffer.data(), buffer.size());
            if (n > 0) {
                (i == 0 ? result.out : result.err).append(buffer.data(), static_cast<size_t>(n));
            } else if (n == 0 || errno != EINTR) {
                ::close(pipes[i].fd);
                pipes[i].fd = -1;
                --open_pipes;
            }
        }
    }
}

}  // namespace detail

/// Runs arguments[0] with these arguments, stdin empty; `environment` is added to ours (an empty
/// value removes the variable); started in `directory` unless empty.
inline Finished run_program(const std::vector<std::string>& arguments,
                            const std::map<std::string, std::string>& environment = {},
                            const std::filesystem::path& directory = {}) {
    std::array<int, 2> out{}, err{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0)
        throw std::runtime_error("pipe2 failed");
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("fork failed");
    if (child == 0) {
        const int null = ::open("/dev/null", O_RDONLY);
        ::dup2(null, 0);
        ::dup2(out[1], 1);
        ::dup2(err[1], 2);
        for (const auto& [name, value] : environment)
            value.empty() ? ::unsetenv(name.c_str()) : ::setenv(name.c_str(), value.c_str(), 1);
        if (!directory.empty() && ::chdir(directory.c_str()) != 0) ::_exit(126);
        std::vector<char*> pointers;
        for (const std::string& argument : arguments)
            pointers.push_back(const_cast<char*>(argument.c_str()));
        pointers.push_back(nullptr);
        ::execvp(pointers[0], pointers.data());
        ::_exit(127);
    }
    ::close(out[1]);
    ::close(err[1]);
    Finished result;
    detail::drain(out[0], err[0], result);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

}  // namespace knlp::test
