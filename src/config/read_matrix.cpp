#include "knlp/config/matrix.h"

#include "knlp/config/symbols.h"

namespace knlp::config {

Matrix read_matrix(const Symbols& symbols) {
    Matrix m;
    m.alpha = symbols.real("MATRIX_ALPHA", {.min = 1e-9, .below = 0.5});
    m.min_effect = symbols.real("MATRIX_MIN_EFFECT", {.min = 0.0, .max = 1e6});
    return m;
}

}  // namespace knlp::config
