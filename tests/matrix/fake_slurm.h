#pragma once

#include "knlp/core/file.h"
#include "knlp/matrix/plan.h"
#include "sample_plan.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace knlp::test {

inline std::vector<std::string> lines_of(const std::filesystem::path& file) {
    std::vector<std::string> lines;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

/// sbatch, squeue and scontrol as three scripts in a directory that is put into $PATH. sbatch keeps
/// the batch script as `<id>.sbatch` and writes its arguments to `submitted`; squeue prints `queue`
/// or, asked for the state of one task, `state`; scontrol requeue writes to `requeued`.
class FakeSlurm {
public:
    explicit FakeSlurm(int64_t max_array_size = 1001) {
        std::filesystem::create_directory(bin());
        script("sbatch",
               R"sh([ ! -e "$fake/full" ] || { echo 'sbatch: error: queue is full' >&2; exit 1; }
for script; do :; done
id=$(($(cat "$fake/last" 2>/dev/null || echo 100) + 1))
echo $id > "$fake/last"
cp -- "$script" "$fake/$id.sbatch"
echo "$*" >> "$fake/submitted"
echo "$id;cluster"
)sh");
        script("squeue", R"sh(case "$*" in
    *%e*) echo N/A ;;
    *-j*) cat "$fake/state" ;;
    *) [ ! -e "$fake/down" ] || { echo 'squeue: error: no controller' >&2; exit 1; }
       cat "$fake/queue" 2>/dev/null || : ;;
esac
)sh");
        script("scontrol",
               "case \"$1\" in\n    show) printf 'Configuration data\\nMaxArraySize            = " +
                   std::to_string(max_array_size) +
                   "\\nMaxDBDMsgs = 5\\n' ;;\n"
                   "    requeue) echo \"$2\" >> \"$fake/requeued\" ;;\nesac\n");
        directory_.write("state", "RUNNING\n");
    }

    std::filesystem::path bin() const { return directory_.file("bin"); }
    std::filesystem::path file(const std::string& name) const { return directory_.file(name); }
    void write(const std::string& name, const std::string& text) { directory_.write(name, text); }
    std::vector<std::string> submitted() const { return lines_of(file("submitted")); }

    std::map<std::string, std::string> environment() const {
        return {{"PATH", bin().string() + ":" + std::getenv("PATH")}};
    }
    /// Runs a task of a job as Slurm does: in the directory that sbatch ran in.
    Finished run_task(int64_t job, int64_t task, const std::filesystem::path& matrix,
                      std::map<std::string, std::string> more = {}) const {
        more.merge(environment());
        more["SLURM_JOB_ID"] = "999";
        more["SLURM_ARRAY_JOB_ID"] = std::to_string(job);
        more["SLURM_ARRAY_TASK_ID"] = std::to_string(task);
        return run_program({"bash", file(std::to_string(job) + ".sbatch").string()}, more, matrix);
    }

private:
    void script(const std::string& name, const std::string& body) {
        const std::filesystem::path path = bin() / name;
        std::ofstream(path) << "#!/bin/sh\nfake='" << directory_.path().string() << "'\n" << body;
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    }
    TempDir directory_;
};

/// A matrix directory of `cells` cells whose binary is a shell script. It is called as knlp would
/// be, with $5 the index of the cell.
inline matrix::Plan write_fake_matrix(const std::filesystem::path& directory, int64_t cells,
                                      const std::string& body) {
    matrix::Plan plan = sample_plan();
    plan.seeds.clear();
    plan.cells.clear();
    for (int64_t i = 0; i < cells; ++i) {
        const matrix::Arm& arm = plan.arms[static_cast<size_t>(i % 2)];
        const auto seed = static_cast<uint64_t>(i / 2 + 1);
        if (i % 2 == 0) plan.seeds.push_back(seed);
        plan.cells.push_back({.index = i,
                              .id = arm.id + "_s" + std::to_string(seed),
                              .arm = arm.id,
                              .seed = seed,
                              .config_sha256 = std::string(64, 'e'),
                              .imported_from = ""});
    }
    const std::filesystem::path binary = directory / plan.builds[0].path;
    std::filesystem::create_directories(binary.parent_path());
    std::ofstream(binary) << "#!/bin/bash\n" << body;
    std::filesystem::permissions(binary, std::filesystem::perms::owner_all);
    write_file_atomic(directory / matrix::kPlanFile, matrix::plan_text(plan));
    return plan;
}

}  // namespace knlp::test
