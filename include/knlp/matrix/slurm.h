#pragma once

#include "knlp/config/slurm.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace knlp::matrix {

struct Plan;

/// "0-3,7,9" of ascending numbers without repeats, as sbatch --array takes them.
std::string compressed(std::span<const int64_t> numbers);

/// Cells of one job array. A task's number has to be below the cluster's MaxArraySize, so cell =
/// offset + task.
struct ArrayPart {
    int64_t offset = 0;
    std::vector<int64_t> tasks;  // ascending
};
/// The cells (ascending) in arrays of tasks below max_array_size.
std::vector<ArrayPart> array_parts(std::span<const int64_t> cells, int64_t max_array_size);

/// Name of the matrix's jobs, in letters that Slurm prints as they are.
std::string slurm_job_name(const Plan& plan);

/// How the scripts name the matrix directory: relative to where we are when it lies below, for
/// that is where jobs run and where relative paths of the configuration start. Error{kUsage} for a
/// path that an option of sbatch cannot hold.
std::string path_in_scripts(const std::filesystem::path& matrix);
/// Where the script of an array goes, relative to the matrix directory.
std::string array_script_name(const ArrayPart& part);
/// The batch script of an array of the matrix directory `matrix`, a path_in_scripts().
std::string array_script(const Plan& plan, const config::Slurm& slurm, const std::string& matrix,
                         const ArrayPart& part);
/// The one that writes the report once the arrays have ended.
std::string report_script(const Plan& plan, const config::Slurm& slurm, const std::string& matrix);
/// "index<TAB>binary" of each cell, where the scripts look for what to start.
std::string binaries_table(const Plan& plan);

/// What the queue says of a cell.
struct QueuedCell {
    std::string task;    // "123_4"
    std::string state;   // PENDING RUNNING COMPLETING SUSPENDED …
    std::string reason;  // why it waits: Priority, Resources, BeginTime, …
    bool operator==(const QueuedCell&) const = default;
};
/// Jobs of this matrix that squeue lists, by cell index. Empty where nothing was submitted from
/// here. Error{kNotAvailable} where jobs were submitted and squeue is missing or fails.
std::map<int64_t, QueuedCell> slurm_queue(const std::filesystem::path& matrix);

/// Largest number of tasks in an array, as `scontrol show config` says. Error{kNotAvailable} when
/// it does not answer.
int64_t max_array_size();
/// Slurm's own default, for scripts that are written where there is no cluster.
inline constexpr int64_t kDefaultMaxArraySize = 1001;

/// An array as it is submitted.
struct SubmittedArray {
    ArrayPart part;
    std::string script;  // relative to the matrix directory
    std::string job;     // "" when it was not submitted
};
struct Submission {
    std::vector<SubmittedArray> arrays;
    std::string report_script, report_job;  // "" without arrays
};
/// Writes the scripts of these cells (ascending) below slurm/; those of an earlier submission go.
Submission write_slurm_scripts(const std::filesystem::path& matrix, const Plan& plan,
                               const config::Slurm& slurm, std::span<const int64_t> cells,
                               int64_t max_array_size);
/// Submits them, and the report behind them and the arrays that are `waited_for`; each job is
/// recorded in slurm/jobs.jsonl as soon as it is known. Error{kRun} with what sbatch says.
void submit_scripts(const std::filesystem::path& matrix, const Plan& plan, Submission& submission,
                    const std::vector<std::string>& waited_for);

}  // namespace knlp::matrix
