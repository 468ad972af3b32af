#include <stdlib.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "ledger_parts.h"

#include "knlp/core/archive.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/matrix/plan.h"
#include "knlp/report/ledger.h"
#include "knlp/report/matrix_report.h"
#include "knlp/report/report.h"
#include "knlp/track/ledger.h"

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kMostBytes = int64_t{1} << 30;
constexpr const char* kLedger = "ledger.jsonl";

/// A directory that is removed with what was unpacked into it.
class Unpacked {
public:
    explicit Unpacked(const fs::path& archive) {
        std::string pattern = (fs::temp_directory_path() / "knlp-check-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) fail_io(pattern, "cannot create", errno);
        path_ = pattern;
        for (const ArchiveFile& file : read_tar_gz(archive)) {
            fs::create_directories((path_ / file.name).parent_path());
            write_file_atomic(path_ / file.name, file.content);
        }
    }
    Unpacked(const Unpacked&) = delete;
    Unpacked& operator=(const Unpacked&) = delete;
    ~Unpacked() {
        std::error_code ignored;
        if (!path_.empty()) fs::remove_all(path_, ignored);
    }
    const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

/// What files that are derived must hold, compared byte by byte.
std::string derived_problem(const fs::path& directory, const std::vector<ArchiveFile>& derived) {
    for (const ArchiveFile& file : derived) {
        if (!fs::exists(directory / file.name)) continue;
        const std::string is = read_file(directory / file.name, kMostBytes);
        if (is == file.content) continue;
        const size_t at = static_cast<size_t>(
            std::mismatch(is.begin(), is.end(), file.content.begin(), file.content.end()).first -
            is.begin());
        return fmt::format(
            "{}:{}: is not what its results make it; `knlp report {}` makes it again",
            (directory / file.name).string(),
            1 + std::count(is.begin(), is.begin() + static_cast<std::ptrdiff_t>(at), '\n'),
            directory.string());
    }
    return "";
}

/// The first metric in which two rows differ.
std::string difference(const json& said, const json& made) {
    for (const auto& [name, value] : said["metrics"].items()) {
        const json now = made["metrics"].value(name, json());
        if (canonical_json(now) != canonical_json(value))
            return fmt::format("says {} {}, its files make it {}", name, canonical_json(value),
                               canonical_json(now));
    }
    for (const auto& [name, value] : said.items())
        if (made.contains(name) && canonical_json(made[name]) != canonical_json(value))
            return fmt::format("says {} {}, its files make it {}", name, canonical_json(value),
                               canonical_json(made[name]));
    return "lacks what its files say";
}

/// Rows that the files make against the newest of the ledger; those it does not have are passed
/// over.
std::string rows_problem(const std::vector<json>& rows, const fs::path& directory,
                         const fs::path& results, const fs::path& ledger) {
    const std::string id = below(directory, results);
    std::vector<json> said;
    for (const json& row : rows)
        if (row["run_id"] == id || row["facts"].value("matrix", json()) == id) said.push_back(row);
    if (said.empty()) return "";
    if (const auto problem = track::changed_file(said, results))
        return fmt::format("{}: row {} {}", ledger.string(), problem->line, problem->what);
    for (const json& made : ledger_rows(directory, results)) {
        const auto newest = std::find_if(said.rbegin(), said.rend(), [&](const json& row) {
            return row["kind"] == made["kind"] && row["run_id"] == made["run_id"];
        });
        if (newest != said.rend() && !track::says_the_same(*newest, made))
            return fmt::format("{}: row {} {} {}", ledger.string(), (*newest)["seq"].dump(),
                               made["run_id"].get<std::string>(), difference(*newest, made));
    }
    return "";
}

std::vector<ArchiveFile> derived_of(const fs::path& directory) {
    if (!is_matrix(directory)) return derived_files_of_run(directory);
    std::vector<ArchiveFile> files;
    for (auto& [name, content] : derived_files(directory))
        files.push_back({.name = name, .content = std::move(content)});
    return files;
}

std::string directory_problem(const fs::path& directory, const std::vector<json>& rows,
                              const fs::path& results, const fs::path& ledger) {
    const std::vector<ArchiveFile> derived = derived_of(directory);
    if (!rows.empty())
        if (std::string why = rows_problem(rows, directory, results, ledger); !why.empty())
            return why;
    return derived_problem(directory, derived);
}

/// What a package unpacks to: the ledger's rows, and below it the matrix that they are of.
std::string package_problem(const fs::path& root) {
    const std::vector<json> rows = track::read_ledger_part(root / kLedger);
    if (const auto problem = track::changed_file(rows, root))
        return fmt::format("{}: row {} {}", (root / kLedger).string(), problem->line,
                           problem->what);
    std::string last;
    for (const json& row : rows) {
        const std::string id = row["facts"].value("matrix", "");
        if (!is_inner_path(id) || !fs::exists(root / id / matrix::kPlanFile))
            return fmt::format("{}: row {} is of the matrix \"{}\", which is not there",
                               (root / kLedger).string(), row["seq"].dump(), id);
        if (id == last) continue;
        last = id;
        if (std::string why = directory_problem(root / id, rows, root, root / kLedger);
            !why.empty())
            return why;
    }
    return rows.empty() ? (root / kLedger).string() + ": has no rows" : "";
}

bool is_package(const fs::path& directory) {
    return fs::exists(directory / kLedger) && !fs::exists(directory / "index.sqlite") &&
           !fs::exists(directory / matrix::kPlanFile) && !fs::exists(directory / "manifest.json");
}

bool lies_below(const fs::path& path, const fs::path& results) {
    const fs::path relative = fs::canonical(path).lexically_relative(fs::canonical(results));
    return !relative.empty() && *relative.begin() != ".." && relative != ".";
}

std::string problem_of(const fs::path& path, const fs::path& ledger) {
    if (is_package(path)) return package_problem(path);
    const fs::path results = ledger.parent_path().empty() ? "." : ledger.parent_path();
    if (fs::exists(ledger) && lies_below(path, results))
        return directory_problem(path, track::read_ledger(ledger), results, ledger);
    return directory_problem(path, {}, results, ledger);
}

}  // namespace

std::string check(const fs::path& path, const fs::path& ledger) {
    if (!fs::exists(path)) fail(kData, "{}: there is no such file or directory", path.string());
    if (fs::is_directory(path)) {
        try {
            return problem_of(path, ledger);
        } catch (const Error& error) {
            // A file that was changed until it cannot be read is an answer, not a failure.
            if (error.kind() != kData && error.kind() != kCheckFailed) throw;
            return error.what();
        }
    }
    const Unpacked unpacked(path);
    const std::string where = unpacked.path().string() + "/";
    std::string problem = check(unpacked.path(), ledger);
    for (size_t at; (at = problem.find(where)) != std::string::npos;)
        problem.replace(at, where.size(), path.string() + ":");
    return problem;
}

}  // namespace knlp::report
