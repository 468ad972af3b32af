#pragma once

#include "tests/support/run_program.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace knlp::test {

/// The knlp that is tested: $KNLP_BIN, else ./knlp. Absolute, since tests change directory.
inline std::filesystem::path knlp_binary() {
    const char* given = std::getenv("KNLP_BIN");
    return std::filesystem::absolute(given && *given ? given : "knlp");
}

/// The environment of make and of the user's shell must not reach the binary under test.
inline std::map<std::string, std::string> clean_environment(
    std::map<std::string, std::string> environment) {
    for (const char* name :
         {"KCONFIG_CONFIG", "KNLP_SET", "KNLP_MAKE_SET", "KNLP_ISA", "OMP_NUM_THREADS", "NO_COLOR"})
        environment.emplace(name, "");
    environment.emplace("GOMP_SPINCOUNT", "20000");  // or training would start twice to set it
    return environment;
}

/// Runs knlp with these arguments in `directory`; stdin is empty. `environment` is added to a clean
/// one.
inline Finished run_knlp(std::vector<std::string> arguments, const std::filesystem::path& directory,
                         const std::map<std::string, std::string>& environment = {}) {
    arguments.insert(arguments.begin(), knlp_binary().string());
    return run_program(arguments, clean_environment(environment), directory);
}

/// Runs a line of bash with $KNLP as the binary: for pipes and redirections.
inline Finished run_shell(const std::string& line, const std::filesystem::path& directory,
                          std::map<std::string, std::string> environment = {}) {
    environment["KNLP"] = knlp_binary().string();
    return run_program({"bash", "-c", line}, clean_environment(environment), directory);
}

}  // namespace knlp::test
