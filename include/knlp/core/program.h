#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace knlp {

/// How a program ended: its exit status, or 128 + the signal.
struct Ran {
    int status = 0;
    std::string out, err;
};
/// What it says of itself: the last line of `err`, or of `out` where that is empty.
std::string said(const Ran& ran);

/// Runs a program found in $PATH to its end, in `directory` unless that is empty, with nothing to
/// read. Status 127 with a reason in `err` when it cannot be started.
Ran run_program(const std::vector<std::string>& arguments,
                const std::filesystem::path& directory = {});

/// The same for one whose messages the user is to see: all that it prints goes to stderr. Its exit
/// status, as Ran has it.
int run_program_aloud(const std::vector<std::string>& arguments);

}  // namespace knlp
