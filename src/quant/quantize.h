// Rounding of weights to the quantised types of tensor/packed.h.
#pragma once

#include <cstddef>
#include <span>

#include "tensor/dtype.h"

namespace axk1 {

// Writes one panel, panel_bytes(dtype, cols) bytes at dst, of up to 16 rows: x [num_rows, cols];
// missing rows become zeros. `importance` [cols], or empty for all equal: how much the square of an
// error in a column counts (the mean square of the input that multiplies it, so that the sum is the
// expected squared error of the output). Values must be finite: the caller checks.
//
// Of each block the scale d is searched among fractions of the largest magnitude, with the best s
// and codes for each, and fitted to these by least squares. Deterministic; any thread.
void quantize_panel(DType dtype, const float* x, size_t num_rows, size_t cols,
                    std::span<const float> importance, void* dst);

}  // namespace axk1
