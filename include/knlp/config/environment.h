#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace knlp::config {

class Symbols;

/// Warns about environment variables whose value will not be used because it is nonsense
/// (OMP_NUM_THREADS=0, MKL_NUM_THREADS=many). Threads come from NUM_THREADS then.
void check_environment();

/// Trackers that the configuration asks for ("trackio", "wandb") although nobody follows this
/// process for them: it was not started by make, which starts mirrors. "" when all is well.
std::string unmirrored(const Symbols& symbols);

/// Full path of a program in $PATH, "" when there is none.
std::string find_program(const std::string& name);

/// $CUDA_VISIBLE_DEVICES, where it is set.
std::optional<std::string> visible_gpus();

/// The batch job that this process is part of, as its scheduler's variables tell.
struct BatchJob {
    std::string id;               // "123", of a task of an array "123_4"
    bool task = false;            // of an array
    int64_t restarts = 0;         // times it was queued again
    std::optional<double> end_s;  // when it will be ended, in wall_seconds()
};
/// SLURM_JOB_ID, SLURM_ARRAY_JOB_ID and _TASK_ID, SLURM_RESTART_COUNT, SLURM_JOB_END_TIME; nothing
/// outside of a job.
std::optional<BatchJob> batch_job();

}  // namespace knlp::config
