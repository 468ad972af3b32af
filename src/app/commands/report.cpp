#include "src/app/commands/report_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/report/matrix_report.h"
#include "knlp/report/report.h"
#include "knlp/track/index.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr ReportVerb (*kVerbs[])(Parser) = {add_report_ledger, add_report_verify_ledger,
                                            add_report_curate};
std::vector<ReportVerb> verbs;

struct Options {
    Parser list;
    std::string directory, check;
    std::vector<std::string> compare;
    bool csv = false, reindex = false;
};
Options options;

/// OUTPUT_DIR of the configuration in force, or of the defaults where there is none.
fs::path output_dir(const Common& common) {
    return config::read_general(load_symbols_or_defaults(common)).output_dir;
}

/// The index has 0 where a run recorded nothing.
bool recorded(double value) {
    return std::isfinite(value) && value != 0;
}

json number(double value) {
    return recorded(value) ? json(value) : json();
}

json row_json(const track::IndexedRun& run) {
    return {{"run_id", run.run_id},
            {"path", run.path},
            {"state", run.state},
            {"started", run.started},
            {"model", run.model},
            {"dataset", run.dataset},
            {"init_from", run.init_from.empty() ? json() : json(run.init_from)},
            {"seed", run.seed},
            {"step", run.step},
            {"tokens", run.tokens},
            {"val_loss", number(run.val_loss)},
            {"best_val_loss", number(run.best_val_loss)},
            {"tokens_per_s", number(run.tokens_per_s)},
            {"wall_s", number(run.wall_s)},
            {"substituted", run.substituted},
            {"synthetic", run.synthetic}};
}

std::string loss_text(double loss) {
    return recorded(loss) ? fmt::format("{:.4f}", loss) : "-";
}

/// Where its first weights came from, short where it lies below the current directory.
std::string start_text(const track::IndexedRun& run) {
    if (run.init_from.empty()) return "";
    const std::string near =
        fs::path(run.init_from).lexically_proximate(fs::current_path()).string();
    return fmt::format(", from {}", near.size() < run.init_from.size() ? near : run.init_from);
}

std::string table(const std::vector<track::IndexedRun>& runs) {
    size_t width = 3;
    for (const track::IndexedRun& run : runs) width = std::max(width, run.run_id.size());
    std::string out = fmt::format("{:<{}}  {:<9}  {:>8}  {:>8}  {:>8}  {:>9}  {}\n", "run", width,
                                  "state", "step", "val loss", "best", "tokens/s", "data");
    for (const track::IndexedRun& run : runs)
        out += fmt::format(
            "{:<{}}  {:<9}  {:>8}  {:>8}  {:>8}  {:>9}  {}{}{}\n", run.run_id, width, run.state,
            run.step, loss_text(run.val_loss), loss_text(run.best_val_loss),
            recorded(run.tokens_per_s) ? fmt::format("{:.0f}", run.tokens_per_s) : "-", run.dataset,
            run.synthetic     ? " (synthetic)"
            : run.substituted ? " (substitute)"
                              : "",
            start_text(run));
    return out;
}

int list_runs(const Common& common) {
    const fs::path output = output_dir(common);
    std::vector<track::IndexedRun> runs;
    if (fs::exists(output)) {  // listing makes no directory
        if (options.reindex || !fs::exists(output / "index.sqlite")) track::rebuild_index(output);
        runs = track::list_runs(output);
    }
    if (common.json) {
        json rows = json::array();
        for (const track::IndexedRun& run : runs) rows.push_back(row_json(run));
        put_text(canonical_json(rows) + "\n");
    } else {
        put_text(runs.empty() ? fmt::format("no runs in {}\n", output.string()) : table(runs));
    }
    return 0;
}

/// The newest run or the newest matrix, whichever began last.
fs::path wanted_directory(const Common& common) {
    if (!options.directory.empty()) return options.directory;
    const fs::path output = output_dir(common);
    const fs::path run = track::newest_run(output), matrix = report::newest_matrix(output);
    if (run.empty() && matrix.empty())
        fail(kUsage,
             "no run in {}: make quickstart makes one, or name a run directory: knlp report DIR",
             (output / "runs").string());
    if (run.empty() || matrix.empty()) return run.empty() ? matrix : run;
    return report::made_at(matrix) >= report::made_at(run) ? matrix : run;
}

int report_matrix(const Common& common, const fs::path& directory) {
    const std::map<std::string, std::string> files = report::derived_files(directory);
    if (options.csv) {
        put_text(files.at("results.csv"));
        return 0;
    }
    const fs::path page =
        common.dry_run ? directory / "report.html" : report::write_derived(directory, files);
    if (common.json) {
        json figures = parse_json(files.at("summary.json"), "summary.json");
        figures["report"] = page.string();
        put_text(canonical_json(figures) + "\n");
    } else {
        put_text(files.at("summary_report.txt") +
                 fmt::format("\n{:<12}{}\n", "report", page.string()));
    }
    return 0;
}

int compare(const Common& common) {
    if (!options.directory.empty())
        fail(kUsage, "--compare names both directories; '{}' is one too many", options.directory);
    const report::Comparison found = report::compare(options.compare[0], options.compare[1]);
    put_text(options.csv ? found.csv : common.json ? found.json + "\n" : found.text);
    return 0;
}

int run(const Common& common) {
    for (const ReportVerb& verb : verbs)
        if (verb.parser.parsed()) return verb.run(common);
    if (!options.check.empty()) return check_report(options.check, common);
    if (options.list.parsed()) return list_runs(common);
    if (options.reindex) track::rebuild_index(output_dir(common));
    if (options.reindex && options.directory.empty()) return 0;
    if (options.csv && common.json) fail(kUsage, "--csv and --json exclude each other");
    if (!options.compare.empty()) return compare(common);
    const fs::path directory = wanted_directory(common);
    if (report::is_matrix(directory)) return report_matrix(common, directory);
    if (options.csv) {
        put_text(report::run_curves(directory));
        return 0;
    }
    json figures = report::run_figures(directory);
    const fs::path page =
        common.dry_run ? directory / "report.html" : report::write_report(directory);
    figures["report"] = page.string();
    if (common.json)
        put_text(canonical_json(figures) + "\n");
    else
        put_text(report::text_summary(directory) +
                 fmt::format("{:<12}{}\n", "report", page.string()));
    return 0;
}

std::function<int(const Common&)> add_options(Parser verb) {
    options = {};
    verb.add_option("directory", options.directory, "run or matrix directory (default: the newest)")
        .type_name("DIR");
    verb.add_option("--compare", options.compare,
                    "two runs or two matrices, the second against the first")
        .values(2, 2)
        .type_name("DIR");
    verb.add_flag("--csv", options.csv,
                  "curves of a run or rows of a matrix as CSV, nothing written");
    verb.add_flag("--reindex", options.reindex, "first rebuild the index from the run directories");
    verb.add_option("--check", options.check,
                    "make every derived figure again and compare: a run, a matrix, or "
                    "an archive of `knlp matrix package`; nothing is written")
        .type_name("PATH");
    options.list = verb.add_subcommand("list", "all runs of the index");
    verbs.clear();
    for (const auto add : kVerbs) verbs.push_back(add(verb));
    return run;
}

}  // namespace

extern const Command cmd_report;
const Command cmd_report = {
    .name = "report",
    .summary = "write the page of a run or matrix, print its figures, list runs",
    .needs = "",
    .add_options = add_options,
    .examples =
        "knlp report\n"
        "knlp report results/runs/NAME --json\n"
        "knlp report results/runs/NAME --csv\n"
        "knlp report results/matrix/NAME\n"
        "knlp report --compare results/matrix/A results/matrix/B\n"
        "knlp report list --reindex\n"
        "knlp report --check results/matrix/NAME\n"
        "knlp report ledger add results/runs/NAME\n"
        "knlp report ledger list\n"
        "knlp report verify-ledger\n"
        "knlp report curate results/runs/NAME --name quickstart",
    .prints_result = true,
    .obeys = "OUTPUT_DIR LOG_LEVEL"};

}  // namespace knlp::app
