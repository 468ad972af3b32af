#pragma once

#include <filesystem>
#include <string>

namespace knlp::report {

/// Writes report.html (one file, inline SVG, no script), summary_report.txt and curves CSV of a run
/// directory; returns the path of the page. Same inputs, same bytes.
std::filesystem::path write_report(const std::filesystem::path& run_directory);

/// The text summary printed at the end of a run.
std::string text_summary(const std::filesystem::path& run_directory);

}  // namespace knlp::report
