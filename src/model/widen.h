// Stored numbers of any type as f32.
#pragma once

#include <cstddef>

#include "tensor/dtype.h"

namespace axk1 {

// y [num_rows, cols] = rows of a matrix whose first byte is at `from`, which need not be aligned
// unless the type is quantised. Not for kI32. For offline work: exact, not fast.
void widen_rows(DType dtype, const std::byte* from, size_t num_rows, size_t cols, float* y);

}  // namespace axk1
