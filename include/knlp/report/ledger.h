#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace knlp::report {

/// What the ledger in `results` says of `path`, which lies below it:
///   a run directory       one row, kind run
///   a matrix directory    a row of kind cell for each cell that is done, one of kind contrast for
///                         each arm but the baseline; `name` is put before their run_id
///   a file of benchmarks  a row of kind benchmark for each of its rows or records
/// Rows are as track::ledger_row() makes them, their files relative to `results`.
/// Error{kUsage} where path lies elsewhere, kData where it is none of these or a run has not ended.
std::vector<nlohmann::json> ledger_rows(const std::filesystem::path& path,
                                        const std::filesystem::path& results);

/// Copies what documentation needs of a run or a matrix into results/<name>, small files only, and
/// returns what was written. The same files give the same bytes. Error{kUsage} when the directory
/// is there; Error{kData} naming file and text where one holds a path or the name of this machine,
/// or a run has not ended.
std::vector<std::filesystem::path> curate(const std::filesystem::path& directory,
                                          const std::filesystem::path& results,
                                          const std::string& name);

/// A matrix as one archive: plan, configurations, results of its cells, derived files, and its rows
/// of the ledger in `results`. The same files give the same bytes. Error{kUsage} when the ledger
/// has no rows of it, Error{kCheckFailed} with what check() says of it.
std::string package(const std::filesystem::path& matrix, const std::filesystem::path& results);

/// The first file that is not what the others make it, and why; "" when all is as it should be.
/// `path`: an archive of package(), the directory it was unpacked to, or the directory of a run or
/// a matrix, whose rows are looked up in `ledger` where there is one.
std::string check(const std::filesystem::path& path, const std::filesystem::path& ledger);

}  // namespace knlp::report
