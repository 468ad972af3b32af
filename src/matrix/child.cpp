#include "child.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;

/// An argument or environment list as exec wants it; valid as long as `texts`.
std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
    out.push_back(nullptr);
    return out;
}

/// Ours with `changes`.
std::vector<std::string> environment_with(const std::map<std::string, std::string>& changes) {
    std::vector<std::string> out;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text(*entry);
        if (!changes.contains(text.substr(0, text.find('=')))) out.push_back(text);
    }
    for (const auto& [name, value] : changes) out.push_back(name + "=" + value);
    return out;
}

}  // namespace

Child start_child(const std::vector<std::string>& command,
                  const std::map<std::string, std::string>& environment, const Place& place,
                  const fs::path& log, const sigset_t& signals) {
    fs::create_directories(log.parent_path());
    const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (output < 0) fail_io(log, "cannot open", errno);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const std::vector<std::string> variables = environment_with(environment);
    const std::vector<char*> argv = pointers(command), envp = pointers(variables);
    cpu_set_t mask;
    CPU_ZERO(&mask);
    for (const int core : place.cores) CPU_SET(core, &mask);
    const pid_t pid = ::fork();
    if (pid == 0) {  // only calls that are safe after a fork from here on
        ::setpgid(0, 0);
        if (!place.cores.empty()) ::sched_setaffinity(0, sizeof mask, &mask);
        ::dup2(null, STDIN_FILENO);
        ::dup2(output, STDOUT_FILENO);
        ::dup2(output, STDERR_FILENO);
        for (const Lease& lease : place.leases) ::fcntl(lease.fd(), F_SETFD, 0);
        ::sigprocmask(SIG_SETMASK, &signals, nullptr);
        ::execve(argv[0], argv.data(), envp.data());
        ::_exit(127);
    }
    const int error_number = errno;
    ::close(output);
    ::close(null);
    if (pid < 0) fail_code(kRun, "E_RUN", "no process for a cell: {}", std::strerror(error_number));
    ::setpgid(pid, pid);  // by whoever comes first
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (pidfd < 0) {
        const int no_pidfd = errno;
        ::kill(-pid, SIGKILL);
        fail_code(kRun, "E_RUN", "a cell's process cannot be watched: {}; Linux 5.3 is needed",
                  std::strerror(no_pidfd));
    }
    ::fcntl(pidfd, F_SETFD, FD_CLOEXEC);
    return {.pid = pid, .pidfd = pidfd};
}

int reap(Child& child) {
    int status = 0;
    while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
    }
    ::close(child.pidfd);
    child = {};
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void send_signal(const Child& child, int signal) {
    if (child.pid > 0) ::kill(-child.pid, signal);
}

int64_t resident_bytes_of(const Child& child) {
    std::ifstream file(fmt::format("/proc/{}/statm", child.pid));
    int64_t size = 0, resident = 0;
    file >> size >> resident;
    return resident * ::sysconf(_SC_PAGESIZE);
}

}  // namespace knlp::matrix
