#include "knlp/core/wait_policy.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace knlp {

namespace {

// Turns of libgomp's loop: longer than threads of a step wait for each other on idle cores, far
// shorter than a slice of time that another program gets.
constexpr const char* kTurns = "20000";

bool is_set(const char* variable) {
    const char* value = std::getenv(variable);
    return value != nullptr && *value != '\0';
}

}  // namespace

void wait_briefly(char** argv) {
    if (is_set("OMP_WAIT_POLICY") || is_set("GOMP_SPINCOUNT")) return;
    std::error_code unknown;
    // By its name: /proc/self/exe itself would show as "exe" in lists of processes.
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", unknown);
    if (unknown || ::setenv("GOMP_SPINCOUNT", kTurns, 1) != 0) return;
    // Returns where the file is gone or replaced meanwhile: a matter of speed only.
    ::execv(program.c_str(), argv);
}

}  // namespace knlp
