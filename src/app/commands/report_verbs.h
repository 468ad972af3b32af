#pragma once

#include "src/app/parser.h"

#include "knlp/app/command.h"

#include <filesystem>
#include <functional>
#include <string>

namespace knlp::app {

/// A subcommand of `knlp report`.
struct ReportVerb {
    Parser parser;
    std::function<int(const Common&)> run;
};

/// Each declares one subcommand and keeps its options.
ReportVerb add_report_ledger(Parser report);
ReportVerb add_report_verify_ledger(Parser report);
ReportVerb add_report_curate(Parser report);

/// `given`, or ledger.jsonl in OUTPUT_DIR; the directory that its rows' files are relative to.
std::filesystem::path ledger_path(const std::string& given, const Common& common);
std::filesystem::path results_of(const std::filesystem::path& ledger);

/// Makes the derived files of a run, a matrix or a package of one again and compares: the status.
int check_report(const std::string& path, const Common& common);

}  // namespace knlp::app
