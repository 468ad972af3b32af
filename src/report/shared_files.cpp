#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "ledger_parts.h"

#include "knlp/core/host.h"
#include "knlp/matrix/plan.h"
#include "knlp/matrix/results.h"

namespace knlp::report {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOfRun[] = {"config",           "config.resolved.json", "eval_documents.i64",
                                  "eval_windows.f32", "manifest.json",        "metrics.jsonl",
                                  "samples.txt",      "status.json",          "summary.json"};
constexpr const char* kOfMatrix[] = {"results.json",      "results.csv", "report.html",
                                     "report.md",         "report.tex",  "summary.json",
                                     "summary_report.txt"};
constexpr const char* kGraphs = "graphs";
/// Text of a model, which writes paths of its own.
constexpr const char* kWritten = "samples.txt";

void add_existing(const fs::path& directory, std::span<const char* const> names,
                  std::vector<std::string>& out) {
    for (const char* name : names)
        if (fs::is_regular_file(directory / name)) out.emplace_back(name);
}

bool is_path_character(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("._-~+/").find(c) != std::string_view::npos;
}

/// A path begins after one of these, or at the beginning of the text.
bool may_precede(char c) {
    return std::string_view(" \t\n\"'=,:;([").find(c) != std::string_view::npos;
}

}  // namespace

std::vector<std::string> shared_files(const fs::path& directory) {
    std::vector<std::string> out;
    if (!fs::exists(directory / matrix::kPlanFile)) {
        add_existing(directory, kOfRun, out);
        return out;
    }
    out = matrix::source_files(directory, matrix::read_plan(directory));
    add_existing(directory, kOfMatrix, out);
    if (fs::is_directory(directory / kGraphs))
        for (const fs::directory_entry& entry : fs::directory_iterator(directory / kGraphs))
            if (entry.is_regular_file())
                out.push_back(std::string(kGraphs) + "/" + entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
}

std::string private_text(const std::string& name, const std::string& text) {
    if (name.ends_with(kWritten) || name.ends_with(".f32") || name.ends_with(".i64")) return "";
    for (size_t at = text.find('/'); at != std::string::npos; at = text.find('/', at + 1)) {
        if (at > 0 && !may_precede(text[at - 1])) continue;
        size_t end = at;
        while (end < text.size() && is_path_character(text[end])) ++end;
        const std::string path = text.substr(at, end - at);
        // "/" alone, or "//" of an address, is none; "/x/y" is.
        if (path.size() > 3 && path[1] != '/' && path.find('/', 1) != std::string::npos &&
            path.find('/', 1) + 1 < path.size())
            return path;
    }
    const std::string quoted = "\"" + host().hostname + "\"";
    return quoted.size() > 2 && text.find(quoted) != std::string::npos ? host().hostname : "";
}

}  // namespace knlp::report
