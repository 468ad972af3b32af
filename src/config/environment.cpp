#include "knlp/config/environment.h"

#include "knlp/core/log.h"
#include "knlp/core/parse.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

namespace knlp::config {

void check_environment() {
    for (const char* name : {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}) {
        const char* text = std::getenv(name);
        if (!text) continue;
        // OpenMP allows one number for each nesting level; the first is what matters.
        const std::string_view value(text);
        const std::optional<uint64_t> number = parse_unsigned(value.substr(0, value.find(',')));
        if (!number || *number == 0 || *number > 65536)
            log::warn(
                "{}='{}' is not a number of threads; not used, NUM_THREADS of the configuration "
                "counts",
                name, value);
    }
}

std::string find_program(const std::string& name) {
    const char* variable = std::getenv("PATH");
    std::string_view rest = variable ? variable : "/usr/local/bin:/usr/bin:/bin";
    while (!rest.empty()) {
        const size_t end = rest.find(':');
        const std::filesystem::path path = std::filesystem::path(rest.substr(0, end)) / name;
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        std::error_code error;
        if (std::filesystem::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0)
            return path.string();
    }
    return "";
}

std::optional<std::string> visible_gpus() {
    const char* text = std::getenv("CUDA_VISIBLE_DEVICES");
    return text ? std::optional<std::string>(text) : std::nullopt;
}

std::optional<BatchJob> batch_job() {
    const auto value = [](const char* name) -> std::string_view {
        const char* text = std::getenv(name);
        return text ? text : "";
    };
    if (value("SLURM_JOB_ID").empty()) return std::nullopt;
    BatchJob job{.id = std::string(value("SLURM_JOB_ID")), .restarts = 0, .end_s = {}};
    job.task = !value("SLURM_ARRAY_TASK_ID").empty();
    if (job.task)
        job.id = std::string(value("SLURM_ARRAY_JOB_ID")) + "_" +
                 std::string(value("SLURM_ARRAY_TASK_ID"));
    job.restarts = parse_int(value("SLURM_RESTART_COUNT")).value_or(0);
    if (const std::optional<int64_t> end = parse_int(value("SLURM_JOB_END_TIME")); end && *end > 0)
        job.end_s = static_cast<double>(*end);
    return job;
}

}  // namespace knlp::config
