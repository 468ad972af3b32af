#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/program.h"
#include "knlp/matrix/plan.h"
#include "knlp/matrix/slurm.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;

constexpr const char* kReportScript = "slurm/report.sbatch";
constexpr const char* kJobs = "slurm/jobs.jsonl";

/// Scripts of an earlier submission: one with fewer arrays would leave some behind.
void remove_scripts(const fs::path& directory) {
    std::vector<fs::path> old;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory))
        if (entry.path().extension() == ".sbatch") old.push_back(entry.path());
    for (const fs::path& path : old) fs::remove(path);
}

/// Runs sbatch for a script, by its whole path, which squeue shows. Returns the job's id.
std::string submit_one(const fs::path& script, const std::vector<std::string>& options) {
    std::vector<std::string> words = {"sbatch", "--parsable"};
    words.insert(words.end(), options.begin(), options.end());
    words.push_back(fs::canonical(script).string());
    const Ran ran = run_program(words);
    // "id" or "id;cluster".
    std::string id = ran.out.substr(0, ran.out.find_first_of(";\n"));
    if (ran.status != 0 || id.empty() || id.find_first_not_of("0123456789") != std::string::npos)
        fail(kRun, "{}: sbatch ended with status {}: {}", script.string(), ran.status, said(ran));
    return id;
}

}  // namespace

Submission write_slurm_scripts(const fs::path& matrix, const Plan& plan, const config::Slurm& slurm,
                               std::span<const int64_t> cells, int64_t max_array_size) {
    const fs::path directory = matrix / "slurm";
    const std::string path = path_in_scripts(matrix);
    fs::create_directories(directory);
    fs::create_directories(matrix / "logs");  // Slurm fails a job whose log it cannot make
    remove_scripts(directory);
    write_file_atomic(directory / "binaries.tsv", binaries_table(plan));
    Submission submission;
    for (ArrayPart& part : array_parts(cells, max_array_size)) {
        const std::string script = array_script_name(part);
        write_file_atomic(matrix / script, array_script(plan, slurm, path, part));
        submission.arrays.push_back({.part = std::move(part), .script = script, .job = ""});
    }
    if (submission.arrays.empty()) return submission;
    submission.report_script = kReportScript;
    write_file_atomic(matrix / kReportScript, report_script(plan, slurm, path));
    return submission;
}

void submit_scripts(const fs::path& matrix, const Plan& plan, Submission& submission,
                    const std::vector<std::string>& waited_for) {
    AppendFile jobs(matrix / kJobs);
    const auto record = [&](const char* kind, const std::string& job, nlohmann::json more) {
        more.update({{"t", utc_now()}, {"kind", kind}, {"job", job}, {"plan", plan.sha256}});
        jobs.append(canonical_json(more) + "\n");
        jobs.sync();
    };
    std::string after = "afterany";
    for (const std::string& job : waited_for) after += ":" + job;
    for (SubmittedArray& array : submission.arrays) {
        array.job = submit_one(matrix / array.script, {});
        record("array", array.job,
               {{"offset", array.part.offset}, {"tasks", compressed(array.part.tasks)}});
        after += ":" + array.job;
    }
    if (submission.report_script.empty()) return;
    submission.report_job =
        submit_one(matrix / submission.report_script, {"--dependency=" + after});
    record("report", submission.report_job, {{"dependency", after}});
}

}  // namespace knlp::matrix
