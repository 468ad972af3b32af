#pragma once

#include "chart_svg.h"
#include "matrix_data.h"
#include "rows_svg.h"

#include <map>
#include <string>

namespace knlp::report {

/// The pictures of a matrix. Curves show the best arms by mean, at most kMaxCurves with the
/// baseline among them; the CSV beside each has all.
constexpr size_t kMaxCurves = 12;
Chart loss_over_tokens(const MatrixData& data);
Chart loss_over_time(const MatrixData& data);
Chart learning_rates(const MatrixData& data);
RowChart forest_plot(const MatrixData& data);
RowChart memory_chart(const MatrixData& data);
RowChart time_chart(const MatrixData& data);

/// "graphs/loss_tokens.svg" and its like, with the CSV of the numbers behind each.
std::map<std::string, std::string> graph_files(const MatrixData& data);

}  // namespace knlp::report
