#include "knlp/report/report.h"

#include <fmt/format.h>

#include "curves_csv.h"
#include "page_html.h"
#include "run_data.h"
#include "text_report.h"

#include "knlp/core/file.h"

namespace knlp::report {
namespace fs = std::filesystem;

fs::path write_report(const fs::path& run_directory) {
    const RunData run = read_run(run_directory);
    write_file_atomic(run.directory / "summary_report.txt", text_of_run(run));
    write_file_atomic(run.directory / "curves.csv", curves_csv(run));
    write_file_atomic(run.directory / "report.html", page_html(run));
    return run_directory / "report.html";
}

std::string text_summary(const fs::path& run_directory) { return text_of_run(read_run(run_directory)); }

}  // namespace knlp::report
