#pragma once

#include "matrix_data.h"

#include <string>

namespace knlp::report {

/// The page of a matrix: one HTML file that is well-formed XML too, without scripts or references
/// to anything outside it. Same directory, same bytes.
std::string matrix_page(const MatrixData& data);

}  // namespace knlp::report
