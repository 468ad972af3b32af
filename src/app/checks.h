#pragma once

#include "knlp/app/command.h"

#include <string>
#include <vector>

namespace knlp::app {

/// One thing doctor looks at.
struct Check {
    enum class State { kOk, kNote, kMissing };
    std::string name;
    State state = State::kOk;  // kNote: works, but worth knowing; kMissing: something does not work
    std::string found;         // what is there, or what is wrong
    std::string fix;           // command or advice; "" when nothing is to be done
    bool required = false;     // missing makes `knlp doctor` end with status 1
};

/// Tools and headers to build and configure: compiler, make, kconfig-frontends, kconfiglib,
/// libraries.
std::vector<Check> check_tools();
/// LibTorch that this process runs on, its version, what its libraries miss; OpenMP runtimes; CUDA.
std::vector<Check> check_libraries();
/// Cores, memory, disk, large pages, frequency governor, instruction set.
std::vector<Check> check_machine();
/// .config against this binary, and the text to train on.
std::vector<Check> check_project(const Common& common);

}  // namespace knlp::app
