#include <nlohmann/json.hpp>

#include "ledger_parts.h"

#include "knlp/core/archive.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/matrix/plan.h"
#include "knlp/report/ledger.h"
#include "knlp/report/report.h"

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kSmall = 1 << 20;

/// Pages can be made again, and config.resolved.json says what config says.
bool is_left_out(const std::string& name) {
    return name == "report.html" || name.starts_with("graphs/") ||
           name.ends_with("config.resolved.json");
}

/// Figures of a run without where it lay.
std::string figures_text(const fs::path& run) {
    json figures = run_figures(run);
    figures.erase("path");
    figures.erase("report");
    return canonical_json(figures) + "\n";
}

std::vector<ArchiveFile> wanted_files(const fs::path& directory) {
    const bool matrix = fs::exists(directory / matrix::kPlanFile);
    std::vector<ArchiveFile> files;
    for (const std::string& name : shared_files(directory)) {
        if (is_left_out(name)) continue;
        if (fs::file_size(directory / name) > kSmall)
            fail(kData, "{}: {} bytes; of a curated result each file has at most {}",
                 (directory / name).string(), fs::file_size(directory / name), kSmall);
        files.push_back({.name = name, .content = read_file(directory / name, kSmall)});
    }
    if (!matrix) files.push_back({.name = kFiguresFile, .content = figures_text(directory)});
    for (const ArchiveFile& file : files)
        if (const std::string text = private_text(file.name, file.content); !text.empty())
            fail(kData,
                 "{}: says {}, which is of this machine alone; run it from the tree's root "
                 "with relative paths",
                 (directory / file.name).string(), text);
    return files;
}

}  // namespace

std::vector<fs::path> curate(const fs::path& directory, const fs::path& results,
                             const std::string& name) {
    if (!is_inner_path(name) || name.find('/') != std::string::npos || name.front() == '.' ||
        name == "runs" || name == "matrix")
        fail(kUsage, "--name {}: a new name of one word is wanted", name);
    const fs::path target = results / name;
    if (fs::exists(target))
        fail(kUsage, "{}: is there already; remove it first, its rows of the ledger stay",
             target.string());
    if (!fs::exists(directory / matrix::kPlanFile) && !fs::exists(directory / "manifest.json"))
        fail(kData, "{}: neither the directory of a run nor of a matrix", directory.string());
    const std::vector<ArchiveFile> files = wanted_files(directory);
    std::vector<fs::path> written;
    for (const ArchiveFile& file : files) {
        fs::create_directories((target / file.name).parent_path());
        write_file_atomic(target / file.name, file.content);
        written.push_back(target / file.name);
    }
    return written;
}

}  // namespace knlp::report
