#pragma once

namespace knlp::config {

class Symbols;

/// How the arms of a test matrix are judged.
struct Matrix {
    double alpha = 0.05;    // level of tests and intervals, [1e-9, 0.5)
    double min_effect = 0;  // smallest difference that matters, in the metric's unit; 0 = not set
};
Matrix read_matrix(const Symbols& symbols);

}  // namespace knlp::config
