#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace knlp::report {

/// Where `path` lies below `results`, with "/" between folders. Error{kUsage} when it does not.
std::string below(const std::filesystem::path& path, const std::filesystem::path& results);

/// Members that come from a manifest: hashes, revision, processor, data.
void describe_run(const nlohmann::json& manifest, nlohmann::json& row);

/// Adds the files of these names that `directory` has to the row.
void add_files(const std::filesystem::path& directory, const std::vector<std::string>& names,
               const std::filesystem::path& results, nlohmann::json& row);

/// The row of a run directory, or of the curated copy of one.
nlohmann::json row_of_run(const std::filesystem::path& directory, std::string_view kind,
                          const std::filesystem::path& results);
std::vector<nlohmann::json> rows_of_benchmarks(const std::filesystem::path& file,
                                               const std::filesystem::path& results);
std::vector<nlohmann::json> rows_of_matrix(const std::filesystem::path& directory,
                                           const std::filesystem::path& results);

/// Files of a run or a matrix that somebody else needs, relative to it, in order: what it measured,
/// its configuration, what was derived from them. Of a matrix those of its cells too.
std::vector<std::string> shared_files(const std::filesystem::path& directory);
/// The first absolute path or name of this machine in a file's text, "" when there is none.
std::string private_text(const std::string& name, const std::string& text);

/// Figures of a curated run, in place of its log.
inline constexpr const char* kFiguresFile = "figures.json";
/// Files of a run that say what it measured.
const std::vector<std::string>& measured_files();

}  // namespace knlp::report
