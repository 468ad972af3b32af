#include "src/app/commands/report_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/core/parse.h"
#include "knlp/report/ledger.h"
#include "knlp/track/ledger.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Options {
    Parser ledger, add, list;
    std::vector<std::string> paths, metrics;
    std::string file, verified, published, hypothesis, why, name, directory;
    int64_t invalidates = 0;
};
Options options;

json row_of(const std::string& what) {
    if (what.empty() || what.find('\n') != std::string::npos)
        fail(kUsage, "--published, --hypothesis and --name take one line of text");
    return track::ledger_row(options.published.empty() ? "hypothesis" : "published", what);
}

/// A row that no run has written: another's figures, a hypothesis, or what takes a row back.
std::vector<json> row_of_options() {
    json row;
    if (!options.published.empty()) {
        row = row_of(options.name.empty() ? options.published : options.name);
        row["facts"]["source"] = options.published;
        if (options.metrics.empty())
            fail(kUsage, "--published needs the figures: --metric NAME=VALUE for each");
    } else if (!options.hypothesis.empty()) {
        row = row_of(options.name.empty() ? options.hypothesis : options.name);
        row["facts"]["text"] = options.hypothesis;
    } else {
        row = track::ledger_row("invalidation", fmt::format("row {}", options.invalidates));
        if (options.why.empty()) fail(kUsage, "--invalidates needs the reason: --why TEXT");
        row["facts"] = {{"invalidates", options.invalidates}, {"why", options.why}};
    }
    for (const std::string& metric : options.metrics) {
        const size_t equals = metric.find('=');
        const auto value =
            equals == std::string::npos ? std::nullopt : parse_real(metric.substr(equals + 1));
        if (!value || equals == 0)
            fail(kUsage, "--metric {}: NAME=VALUE is wanted, the value a number", metric);
        row["metrics"][metric.substr(0, equals)] = *value;
    }
    return {row};
}

void check_usage() {
    const int kinds = !options.paths.empty() + !options.published.empty() +
                      !options.hypothesis.empty() + (options.invalidates > 0);
    if (kinds != 1)
        fail(
            kUsage,
            "say what is added: directories of runs or matrices and files of benchmarks, or one of "
            "--published, --hypothesis, --invalidates");
    if (!options.metrics.empty() && options.published.empty())
        fail(kUsage,
             "--metric is for --published: what knlp measured has its figures from its files");
}

std::string line_of(const json& row, std::span<const json> rows) {
    const auto by = track::invalidated_by(rows, row["seq"].get<int64_t>());
    return fmt::format("{:>5}  {:<21}  {:<12}  {:>3} metrics  {}{}\n", row["seq"].get<int64_t>(),
                       by ? "INVALIDATED" : row["class"].get<std::string>(),
                       row["kind"].get<std::string>(), row["metrics"].size(),
                       row["run_id"].get<std::string>(), by ? fmt::format(" (by {})", *by) : "");
}

int add(const Common& common) {
    check_usage();
    const fs::path ledger = ledger_path(options.file, common);
    std::vector<json> rows;
    if (options.paths.empty()) rows = row_of_options();
    for (const std::string& path : options.paths)
        for (json& row : report::ledger_rows(path, results_of(ledger)))
            rows.push_back(std::move(row));
    if (common.dry_run) {
        for (const json& row : rows) put_text(canonical_json(row) + "\n");
        return 0;
    }
    const std::vector<int64_t> seqs = track::append_to_ledger(ledger, rows);
    const std::vector<json> all = track::read_ledger(ledger);
    json out = json::array();
    for (const int64_t seq : seqs) {
        const json& row = all.at(static_cast<size_t>(seq - 1));
        if (common.json)
            out.push_back(row);
        else
            put_text(line_of(row, all));
    }
    if (common.json) put_text(canonical_json(out) + "\n");
    return 0;
}

int list(const Common& common) {
    const fs::path ledger = ledger_path(options.file, common);
    const std::vector<json> rows = track::read_ledger(ledger);
    json out = json::array();
    for (json row : rows) {
        if (!common.json) {
            put_text(line_of(row, rows));
            continue;
        }
        const auto by = track::invalidated_by(rows, row["seq"].get<int64_t>());
        row["invalidated_by"] = by ? json(*by) : json();
        out.push_back(std::move(row));
    }
    if (common.json)
        put_text(canonical_json(out) + "\n");
    else if (rows.empty())
        put_text(fmt::format("no rows in {}\n", ledger.string()));
    return 0;
}

int run_ledger(const Common& common) {
    return options.add.parsed() ? add(common) : list(common);
}

int verify(const Common& common) {
    const fs::path ledger = ledger_path(options.verified, common);
    if (!fs::exists(ledger)) fail(kData, "{}: there is no ledger", ledger.string());
    const auto problem = track::verify_ledger(ledger);
    if (common.json) {
        put_text(canonical_json({{"ledger", ledger.string()},
                                 {"whole", !problem},
                                 {"line", problem ? json(problem->line) : json()},
                                 {"why", problem ? json(problem->what) : json()}}) +
                 "\n");
    } else if (problem) {
        put_text(fmt::format("{}:{}: line {} {}\n", ledger.string(), problem->line, problem->line,
                             problem->what));
    } else {
        put_text(fmt::format("{}: {} rows, whole\n", ledger.string(),
                             track::read_ledger(ledger).size()));
    }
    return problem ? 1 : 0;
}

int curate(const Common& common) {
    const fs::path ledger = ledger_path(options.file, common);
    const fs::path results = results_of(ledger);
    const std::vector<fs::path> written = report::curate(options.directory, results, options.name);
    for (const fs::path& path : written) put_text(path.string() + "\n");
    const std::vector<int64_t> seqs =
        track::append_to_ledger(ledger, report::ledger_rows(results / options.name, results));
    const std::vector<json> rows = track::read_ledger(ledger);
    for (const int64_t seq : seqs) put_text(line_of(rows.at(static_cast<size_t>(seq - 1)), rows));
    return 0;
}

void add_ledger_option(Parser parser) {
    parser.add_option("--ledger", options.file, "the ledger (default: OUTPUT_DIR/ledger.jsonl)")
        .type_name("FILE");
}

}  // namespace

fs::path ledger_path(const std::string& given, const Common& common) {
    if (!given.empty()) return given;
    return fs::path(config::read_general(load_symbols_or_defaults(common)).output_dir) /
           "ledger.jsonl";
}

fs::path results_of(const fs::path& ledger) {
    return ledger.parent_path().empty() ? fs::path(".") : ledger.parent_path();
}

ReportVerb add_report_ledger(Parser report) {
    options = {};
    options.ledger = report.add_subcommand("ledger", "the ledger of what was measured");
    options.ledger.require_subcommand();
    options.add = options.ledger.add_subcommand(
        "add", "append rows for runs, matrices, files of benchmarks, or what others measured");
    options.add
        .add_option("paths", options.paths,
                    "run or matrix directories, files of benchmarks, below the ledger's "
                    "directory")
        .type_name("PATH");
    options.add.add_option("--published", options.published, "another's figures, from this source")
        .type_name("SOURCE");
    options.add
        .add_option("--hypothesis", options.hypothesis, "a claim that nothing was measured for")
        .type_name("TEXT");
    options.add.add_option("--name", options.name, "what the row of either is called")
        .type_name("TEXT");
    options.add.add_option("--metric", options.metrics, "a published figure (repeatable)")
        .one_at_a_time()
        .type_name("NAME=VALUE");
    options.add.add_option("--invalidates", options.invalidates, "take this row back")
        .type_name("SEQ");
    options.add.add_option("--why", options.why, "why it is taken back").type_name("TEXT");
    add_ledger_option(options.add);
    options.list = options.ledger.add_subcommand("list", "all rows with their class of evidence");
    add_ledger_option(options.list);
    return {.parser = options.ledger, .run = run_ledger};
}

ReportVerb add_report_verify_ledger(Parser report) {
    Parser sub = report.add_subcommand("verify-ledger",
                                       "is the ledger whole, and are its files what it says?");
    sub.add_option("file", options.verified, "the ledger (default: OUTPUT_DIR/ledger.jsonl)")
        .type_name("FILE");
    return {.parser = sub, .run = verify};
}

ReportVerb add_report_curate(Parser report) {
    Parser sub = report.add_subcommand(
        "curate", "copy what documentation needs of a run or a matrix, and add it to the ledger");
    sub.add_option("directory", options.directory, "run or matrix directory")
        .required()
        .type_name("DIR");
    sub.add_option("--name", options.name, "of the folder below the ledger's directory")
        .required()
        .type_name("NAME");
    add_ledger_option(sub);
    return {.parser = sub, .run = curate};
}

}  // namespace knlp::app
