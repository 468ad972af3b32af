#include "knlp/report/matrix_report.h"

#include "matrix_data.h"
#include "matrix_graphs.h"
#include "matrix_page.h"
#include "matrix_tables.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"

#include <nlohmann/json.hpp>

#include <utility>

namespace knlp::report {
namespace fs = std::filesystem;

bool is_matrix(const fs::path& directory) {
    return fs::exists(directory / matrix::kPlanFile);
}

std::string made_at(const fs::path& directory) {
    const bool matrix = is_matrix(directory);
    try {
        const nlohmann::json file =
            read_json(directory / (matrix ? matrix::kPlanFile : "manifest.json"));
        const nlohmann::json when =
            file.is_object() ? file.value(matrix ? "created" : "started", nlohmann::json()) : file;
        return when.is_string() ? when.get<std::string>() : "";
    } catch (const Error&) {
        return "";  // what cannot be read is older than what can
    }
}

fs::path newest_matrix(const fs::path& output_dir) {
    fs::path newest;
    std::string when;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(output_dir / "matrix", error)) {
        if (!is_matrix(entry.path())) continue;
        const std::string made = made_at(entry.path());
        if (!newest.empty() && std::pair(made, entry.path()) < std::pair(when, newest)) continue;
        newest = entry.path();
        when = made;
    }
    return newest;
}

std::map<std::string, std::string> derived_files(const fs::path& matrix) {
    const MatrixData data = read_matrix(matrix);
    std::map<std::string, std::string> files = {
        {matrix::kResultsFile, matrix::results_text(data.plan, data.results)},
        {"summary.json", matrix_json(data)},
        {"summary_report.txt", matrix_text(data)},
        {"report.md", matrix_markdown(data)},
        {"report.tex", matrix_latex(data)},
        {"results.csv", matrix_csv(data)},
        {"report.html", matrix_page(data)}};
    files.merge(graph_files(data));
    return files;
}

fs::path write_derived(const fs::path& matrix, const std::map<std::string, std::string>& files) {
    fs::create_directories(matrix / "graphs");
    for (const auto& [name, bytes] : files) write_file_atomic(matrix / name, bytes);
    return matrix / "report.html";
}

}  // namespace knlp::report
