#pragma once

#include "matrix_data.h"
#include "text_table.h"

#include <string>
#include <vector>

namespace knlp::report {

/// What the columns of the verdict table say of an arm. "–" where there is nothing to say.
struct ArmWords {
    std::string n, mean, difference, p, adjusted_p, signs, sign_flip, ratio, verdict, not_counted;
    std::string memory, time, speed, status;
};
ArmWords words_of(const ArmData& arm, const MatrixData& data);

/// Arm, n, mean, difference, p, Holm's p, signs, sign-flip p, perplexity, verdict, not counted.
TextTable verdict_table(const MatrixData& data);
/// What stands behind each difference: pairs, spread, 90 % interval, perplexity, evaluation noise.
TextTable difference_table(const MatrixData& data);
/// Memory, time and speed of the arms.
TextTable cost_table(const MatrixData& data);
/// Planned seeds that gave no pair, with the reason.
TextTable dropped_table(const MatrixData& data);
/// Cells that are no result.
TextTable unfinished_table(const MatrixData& data);
TextTable exclusion_table(const MatrixData& data);
/// Symbols and choices in which arms differ: one column each; no rows where none do.
TextTable configuration_table(const MatrixData& data);

/// Plan and provenance, name and value.
std::vector<Fact> facts_of(const MatrixData& data);
/// "20 cells: 18 done, 1 failed, 1 pending".
std::string state_line(const MatrixData& data);
/// How the verdicts are made, in a sentence or two, and the noise floor.
std::vector<std::string> reading_notes(const MatrixData& data);

/// Commands that do everything, or one cell, again, from the root of the tree.
std::vector<Fact> matrix_commands(const MatrixData& data);
std::string rerun_command(const MatrixData& data, const matrix::Cell& cell);

/// "3.1234 ± 0.0056", with as many digits as the half width is worth; without an interval the
/// value.
std::string with_interval(double value, const matrix::Interval& interval, bool sign = false);
/// "[-0.012, 0.003]".
std::string interval_text(const matrix::Interval& interval, int digits = 2);
std::string p_text(double p);

}  // namespace knlp::report
