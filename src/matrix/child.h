#pragma once

#include "lease.h"

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace knlp::matrix {

/// A program that runs in a process group of its own.
struct Child {
    pid_t pid = -1;
    int pidfd = -1;  // readable once it has ended
};

/// Starts a program; it inherits the leases of `place` and runs on its cores. What it prints is
/// appended to `log`. `signals` is the mask it gets. Error{kRun} when there can be no process; a
/// program that cannot be started ends with 127.
Child start_child(const std::vector<std::string>& command,
                  const std::map<std::string, std::string>& environment, const Place& place,
                  const std::filesystem::path& log, const sigset_t& signals);

/// Waits for one that has ended. Exit status, or 128 + the signal that ended it.
int reap(Child& child);

/// To all of its process group.
void send_signal(const Child& child, int signal);

/// Memory it has now; 0 for one that has ended.
int64_t resident_bytes_of(const Child& child);

}  // namespace knlp::matrix
