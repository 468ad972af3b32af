#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace knlp::report {

/// Whether it is the directory of a matrix: it has a plan.
bool is_matrix(const std::filesystem::path& directory);
/// The matrix below output_dir/matrix that was planned last, or an empty path.
std::filesystem::path newest_matrix(const std::filesystem::path& output_dir);
/// UTC text of when a run began or a matrix was planned, as its files say; "" where they do not.
std::string made_at(const std::filesystem::path& directory);

/// Everything that `knlp report` derives from plan and cells of a matrix, by name relative to its
/// directory: results.json, summary.json, summary_report.txt, report.md, report.tex, results.csv,
/// report.html and graphs/ (each picture with the numbers behind it). Nothing is written. Same
/// plan and cells, same bytes, in every directory, locale and time zone. Error{kCheckFailed} naming
/// file and row when a finished cell no longer is what results.json recorded, or contradicts
/// itself.
std::map<std::string, std::string> derived_files(const std::filesystem::path& matrix);

/// Writes them; returns the path of the page.
std::filesystem::path write_derived(const std::filesystem::path& matrix,
                                    const std::map<std::string, std::string>& files);

/// What two matrices, or two runs, say about each other.
struct Comparison {
    std::string text, json, csv;
};
/// B minus A for each arm (by id) that both have, paired by seed; of two runs, for the runs.
/// Seeds pair on equal data, evaluation windows, effective batch and budget; what else differs is
/// named. Error{kUsage} for a run and a matrix; Error{kData} when no arm is in both.
Comparison compare(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace knlp::report
