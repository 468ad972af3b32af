#include "knlp/report/report.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "curves_csv.h"
#include "flame.h"
#include "key_figures.h"
#include "page_html.h"
#include "run_data.h"
#include "text_report.h"

#include "knlp/core/archive.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"

namespace knlp::report {
namespace fs = std::filesystem;
using nlohmann::json;

std::vector<ArchiveFile> derived_files_of_run(const fs::path& run_directory) {
    const RunData run = read_run(run_directory);
    return {{"summary_report.txt", text_of_run(run)},
            {"curves.csv", curves_csv(run)},
            {"report.html", page_html(run)}};
}

fs::path write_report(const fs::path& run_directory) {
    for (const ArchiveFile& file : derived_files_of_run(run_directory))
        write_file_atomic(run_directory / file.name, file.content);
    return run_directory / "report.html";
}

std::string text_summary(const fs::path& run_directory) {
    return text_of_run(read_run(run_directory));
}

std::string breakdown_svg(const json& details) {
    if (const std::string problem = flame_problem(details); !problem.empty())
        fail(kData, "breakdown: {}", problem);
    return flame_svg(details);
}

std::string run_curves(const fs::path& run_directory) {
    return curves_csv(read_run(run_directory));
}

nlohmann::json run_figures(const fs::path& run_directory) {
    const RunData run = read_run(run_directory);
    const KeyFigures key = key_figures(run);
    const auto number = [](double value) { return std::isfinite(value) ? json(value) : json(); };
    const auto count = [](double value) {
        return std::isfinite(value) ? json(static_cast<int64_t>(value)) : json();
    };
    return {{"run_id", run.run_id},
            {"path", run.display_path},
            {"state", key.state},
            {"exit", key.exit.empty() ? json() : json(key.exit)},
            {"val_loss", number(key.val_loss)},
            {"val_se", number(key.val_se)},
            {"val_step", key.val_step},
            {"best_val_loss", number(key.best_loss)},
            {"best_step", key.best_step},
            {"val_perplexity", number(key.perplexity)},
            {"bits_per_byte", number(key.bits_per_byte)},
            {"loss_unit", key.loss_unit},
            {"train_loss", number(key.train_loss)},
            {"steps", key.steps},
            {"tokens", count(key.tokens)},
            {"wall_s", number(key.wall_s)},
            {"tokens_per_s", number(key.tokens_per_s)},
            {"parameters", count(key.parameters)},
            {"peak_rss_bytes", count(key.peak_rss_bytes)},
            {"caveats", caveats(run)},
            {"problems", run.problems}};
}

}  // namespace knlp::report
