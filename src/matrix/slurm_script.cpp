// The batch scripts of a matrix. They run in the matrix directory, so no path of this machine
// stands in them and the directory may be moved between two submissions.

#include "knlp/core/error.h"
#include "knlp/matrix/plan.h"
#include "knlp/matrix/slurm.h"

#include <algorithm>
#include <cctype>

namespace knlp::matrix {
namespace {

/// Seconds before a job's end at which Slurm tells its batch script.
constexpr int64_t kWarning_s = 120;

/// A value of an option in an #SBATCH line.
std::string quoted(const std::string& value) {
    const auto plain = [](unsigned char c) {
        return std::isalnum(c) != 0 ||
               std::string_view("-_.,:%@/+=").find(static_cast<char>(c)) != std::string_view::npos;
    };
    return std::all_of(value.begin(), value.end(), plain) ? value : "\"" + value + "\"";
}

/// Grows by an #SBATCH line a call.
class Header {
public:
    void option(const std::string& name, const std::string& value = "") {
        text_ += "#SBATCH --" + name + (value.empty() ? "" : "=" + quoted(value)) + "\n";
    }
    void given(const std::string& name, const std::string& value) {
        if (!value.empty()) option(name, value);
    }
    void line(const std::string& options) {
        if (!options.empty()) text_ += "#SBATCH " + options + "\n";
    }
    const std::string& text() const { return text_; }

private:
    std::string text_ = "#!/bin/bash\n";
};

int64_t cores(const Plan& plan, const config::Slurm& slurm) {
    int64_t most = slurm.cpus;
    for (const Arm& arm : plan.arms) most = std::max(most, arm.choices.threads);
    return most;
}

/// What a job of the matrix asks for whatever it does.
void ask(Header& header, const config::Slurm& slurm, int64_t cpus) {
    header.option("open-mode", "append");
    header.option("time", slurm.time);
    header.option("nodes", "1");
    header.option("ntasks", "1");
    header.option("cpus-per-task", std::to_string(cpus));
    header.given("mem", slurm.memory);
    header.given("partition", slurm.partition);
}

// Until here a job that was submitted elsewhere has touched nothing. What the submitting shell
// overrides would be another experiment than the one planned.
constexpr const char* kBegin =
    R"sh(# Made by `knlp matrix submit`. By hand, from the same directory: sbatch %SCRIPT%
set -u
matrix=%MATRIX%
fail() { echo "knlp: error: $*" >&2; exit 2; }
[ -f "$matrix/plan.json" ] || fail "$matrix: no plan.json there; submit from where the script was made, not from $PWD"
unset KNLP_SET KNLP_MAKE_SET KCONFIG_CONFIG
)sh";

// bash ends `wait` when a signal comes and runs its trap: only a wait without one tells how the
// child ended. A preempted job's child gets the signal from Slurm too, and may be gone already.
constexpr const char* kCell = R"sh(child='' stop='' signals=0
pass_on() {
    stop=$1 signals=$((signals + 1))
    [ -z "$child" ] || kill -s "$1" "$child" 2>/dev/null || :
}
trap 'pass_on USR1' USR1
trap 'pass_on TERM' TERM

task=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
index=$((%OFFSET% + SLURM_ARRAY_TASK_ID))
binary=$(awk -F '\t' -v cell="$index" '$1 == cell {print $2}' "$matrix/slurm/binaries.tsv")
[ -n "$binary" ] && [ -x "$matrix/$binary" ] || fail "$matrix: no binary '$binary' for cell $index"
# When the job ends, for a save that takes longer than the warning; older Slurms do not say.
if [ -z "${SLURM_JOB_END_TIME:-}" ]; then
    end=$(date -d "$(squeue -h -j "$task" -o %e 2>/dev/null)" +%s 2>/dev/null) &&
        [ "$end" -gt "$(date +%s)" ] && export SLURM_JOB_END_TIME="$end"
fi

"$matrix/$binary" matrix run-cell "$matrix" --index "$index" &
child=$!
[ -z "$stop" ] || kill -s "$stop" "$child" 2>/dev/null
while seen=$signals; wait "$child"; status=$?; [ "$signals" != "$seen" ]; do :; done

# A signal that came before the program could catch it ended it, and nothing was lost. And bash may
# forget how a child ended that did so while a trap ran; the task then looks at the cell once more.
case $status in 138|143|127|-1) [ -z "$stop" ] || status=75 ;; esac
# Slurm queues a preempted job again by itself, and one that was cancelled is to stay away.
if [ "$status" = 75 ] && [ "$(squeue -h -j "$task" -o %T 2>/dev/null)" = RUNNING ]; then
    scontrol requeue "$task" || echo "knlp: cell $index stopped early and could not be queued" \
        "again; knlp matrix submit does that" >&2
fi
exit "$status"
)sh";

constexpr const char* kReport = R"sh(exec "$matrix"/%BINARY% report "$matrix"
)sh";

/// A word of a shell command.
std::string shell_word(const std::string& text) {
    std::string word = "'";
    for (const char c : text) c == '\'' ? word += "'\\''" : word += c;
    return word + "'";
}

/// Log files of a script below the matrix directory; in its path % stands for itself.
std::string logs(const std::string& matrix, const std::string& pattern) {
    std::string path;
    for (const char c : matrix) path += c == '%' ? "%%" : std::string(1, c);
    return path + "/logs/" + pattern;
}

std::string filled(std::string text, const std::string& name, const std::string& value) {
    const size_t at = text.find(name);
    KNLP_CHECK(at != std::string::npos);
    return text.replace(at, name.size(), value);
}

std::string begin(const std::string& matrix, const std::string& script) {
    const std::string text = filled(kBegin, "%SCRIPT%", shell_word(matrix + "/" + script));
    return filled(text, "%MATRIX%", shell_word(matrix));
}

}  // namespace

std::string compressed(std::span<const int64_t> numbers) {
    std::string text;
    for (size_t i = 0; i < numbers.size();) {
        size_t last = i;
        while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
        if (!text.empty()) text += ',';
        text += std::to_string(numbers[i]);
        if (last > i) text += '-' + std::to_string(numbers[last]);
        i = last + 1;
    }
    return text;
}

std::vector<ArrayPart> array_parts(std::span<const int64_t> cells, int64_t max_array_size) {
    KNLP_CHECK(max_array_size > 0);
    std::vector<ArrayPart> parts;
    for (const int64_t cell : cells) {
        const int64_t offset = cell - cell % max_array_size;
        if (parts.empty() || parts.back().offset != offset)
            parts.push_back({.offset = offset, .tasks = {}});
        parts.back().tasks.push_back(cell - offset);
    }
    return parts;
}

std::string slurm_job_name(const Plan& plan) {
    std::string name = "knlp-" + plan.name;
    for (char& c : name)
        if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_' && c != '.')
            c = '_';
    return name;
}

std::string path_in_scripts(const std::filesystem::path& matrix) {
    const std::filesystem::path whole = std::filesystem::canonical(matrix),
                                here = std::filesystem::current_path();
    const std::string relative = whole.lexically_relative(here).string(),
                      path = relative.starts_with("..")  ? whole.string()
                             : relative.starts_with("-") ? "./" + relative
                                                         : relative;
    if (std::any_of(path.begin(), path.end(),
                    [](unsigned char c) { return c < ' ' || c == 127 || c == '"' || c == '\\'; }))
        fail(kUsage,
             "{}: an option of sbatch cannot hold quotes, backslashes and control characters of a "
             "path; give the directory another name",
             path);
    return path;
}

std::string array_script_name(const ArrayPart& part) {
    return part.offset == 0 ? "slurm/array.sbatch"
                            : fmt::format("slurm/array-{}.sbatch", part.offset);
}

std::string array_script(const Plan& plan, const config::Slurm& slurm, const std::string& matrix,
                         const ArrayPart& part) {
    std::string name = slurm_job_name(plan);
    if (part.offset > 0) name += fmt::format("+{}", part.offset);
    std::string list = compressed(part.tasks);
    if (slurm.max_parallel > 0) list += fmt::format("%{}", slurm.max_parallel);
    Header header;
    header.option("job-name", name);
    header.option("array", list);
    header.option("output", logs(matrix, "%x-%A_%a.log"));
    header.option("requeue");
    header.option("signal", fmt::format("B:USR1@{}", kWarning_s));
    ask(header, slurm, cores(plan, slurm));
    header.given("gres", slurm.gres);
    header.line(slurm.extra);
    return header.text() + begin(matrix, array_script_name(part)) +
           filled(kCell, "%OFFSET%", std::to_string(part.offset));
}

std::string report_script(const Plan& plan, const config::Slurm& slurm, const std::string& matrix) {
    Header header;
    header.option("job-name", slurm_job_name(plan) + "-report");
    header.option("output", logs(matrix, "%x-%j.log"));
    ask(header, slurm, 1);
    header.line(slurm.extra);
    return header.text() + begin(matrix, "slurm/report.sbatch") +
           filled(kReport, "%BINARY%", shell_word(plan.builds.front().path));
}

std::string binaries_table(const Plan& plan) {
    std::string table;
    for (const Cell& cell : plan.cells)
        table += fmt::format("{}\t{}\n", cell.index, plan.build(plan.arm(cell.arm).build).path);
    return table;
}

}  // namespace knlp::matrix
