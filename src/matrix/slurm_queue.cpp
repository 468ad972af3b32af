#include "knlp/core/error.h"
#include "knlp/core/parse.h"
#include "knlp/core/program.h"
#include "knlp/matrix/slurm.h"

#include <unistd.h>

#include <array>
#include <optional>
#include <string_view>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;

/// Array job, task, state, reason and script; the last may hold anything.
constexpr const char* kFormat = "%F|%K|%T|%r|%o";

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        lines.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

std::string_view next_field(std::string_view& line) {
    const size_t end = std::min(line.find('|'), line.size());
    const std::string_view field = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return field;
}

/// Offset of the array of this script; nothing for the report, and jobs of others.
std::optional<int64_t> offset_of(std::string_view script, const std::string& directory) {
    if (!script.starts_with(directory + "/array") || !script.ends_with(".sbatch"))
        return std::nullopt;
    script.remove_prefix(directory.size() + std::string_view("/array").size());
    script.remove_suffix(std::string_view(".sbatch").size());
    if (script.empty()) return 0;
    if (!script.starts_with("-")) return std::nullopt;
    script.remove_prefix(1);
    return parse_int(script);
}

}  // namespace

std::map<int64_t, QueuedCell> slurm_queue(const fs::path& matrix) {
    if (!fs::exists(matrix / "slurm" / "jobs.jsonl")) return {};
    const Ran ran = run_program({"squeue", "--noheader", "--array", "--user",
                                 std::to_string(::getuid()), "--format", kFormat});
    if (ran.status != 0)
        fail(kNotAvailable,
             "{}: was submitted to Slurm, and squeue, which knows what became of it, ends with "
             "status {}: {}; ask where the cluster's commands are",
             matrix.string(), ran.status, said(ran));
    const std::string ours = fs::canonical(matrix / "slurm").string();
    std::map<int64_t, QueuedCell> queue;
    for (std::string_view line : lines_of(ran.out)) {
        const std::string_view job = next_field(line), task = next_field(line),
                               state = next_field(line), reason = next_field(line);
        const std::optional<int64_t> offset = offset_of(line, ours), number = parse_int(task);
        if (!offset || !number) continue;
        queue[*offset + *number] = {.task = fmt::format("{}_{}", job, task),
                                    .state = std::string(state),
                                    .reason = std::string(reason)};
    }
    return queue;
}

int64_t max_array_size() {
    const Ran ran = run_program({"scontrol", "show", "config"});
    for (std::string_view line : lines_of(ran.out)) {
        if (!line.starts_with("MaxArraySize")) continue;
        const size_t digit = line.find_first_of("0123456789");
        const std::optional<int64_t> size =
            digit == std::string_view::npos
                ? std::nullopt
                : parse_int(line.substr(digit, line.find_last_of("0123456789") - digit + 1));
        if (size && *size > 0) return *size;
    }
    fail(kNotAvailable, "scontrol show config tells no MaxArraySize (status {}): {}", ran.status,
         said(ran));
}

}  // namespace knlp::matrix
