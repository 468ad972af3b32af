#pragma once

#include "matrix_data.h"

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace knlp::report {

/// summary_report.txt: one line an arm in fixed columns, then what limits the comparison.
std::string matrix_text(const MatrixData& data);
/// summary.json: everything computed, by member; null where there is nothing.
std::string matrix_json(const MatrixData& data);
/// A contrast with all its figures, as a member of summary.json.
nlohmann::json contrast_json(const matrix::Contrast& contrast);
/// report.md and report.tex: the tables.
std::string matrix_markdown(const MatrixData& data);
std::string matrix_latex(const MatrixData& data);
/// results.csv: one row a cell; numbers as in results.json, empty where there is none.
std::string matrix_csv(const MatrixData& data);

}  // namespace knlp::report
