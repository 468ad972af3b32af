#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "knlp/core/archive.h"

namespace knlp::report {

/// Writes report.html (one file, inline SVG, no script), summary_report.txt and curves.csv into a
/// run directory; returns the path of the page. Same inputs, same bytes. Files of the run that are
/// missing or damaged leave a gap and a line on the page; Error{kData} only where there is no run
/// at all.
std::filesystem::path write_report(const std::filesystem::path& run_directory);

/// The same as names and contents, nothing written.
std::vector<ArchiveFile> derived_files_of_run(const std::filesystem::path& run_directory);

/// The text summary printed at the end of a run, one figure a line.
std::string text_summary(const std::filesystem::path& run_directory);

/// The key figures as an object: run_id, path, state, exit, val_loss, val_se, val_step,
/// best_val_loss, best_step, val_perplexity, bits_per_byte, loss_unit, train_loss, steps, tokens,
/// wall_s, tokens_per_s, parameters, peak_rss_bytes (null where not recorded), caveats, problems.
nlohmann::json run_figures(const std::filesystem::path& run_directory);

/// The file of a run directory that holds the record of `knlp bench step --breakdown`; the page
/// then shows where the time of a step goes.
constexpr const char* kBreakdownFile = "breakdown.json";
/// The same as a picture of its own, SVG, from the record's `details`. Error{kData} when they
/// cannot be drawn.
std::string breakdown_svg(const nlohmann::json& details);

/// The curves as CSV: what curves.csv holds.
std::string run_curves(const std::filesystem::path& run_directory);

}  // namespace knlp::report
