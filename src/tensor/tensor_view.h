// Views of tensors: where the numbers are, of which type and shape. They own nothing.
#pragma once

#include <cstddef>

#include "tensor/dtype.h"

namespace axk1 {

// A row-major matrix [rows, cols], `stride` elements from one row to the next.
struct MatrixView {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  size_t rows = 0;
  size_t cols = 0;
  size_t stride = 0;

  explicit operator bool() const { return data != nullptr; }

  // Rows [first, first + count).
  MatrixView slice_rows(size_t first, size_t count) const {
    MatrixView part = *this;
    part.data = static_cast<const char*>(data) + first * stride * dtype_bytes(dtype);
    part.rows = count;
    return part;
  }
};

}  // namespace axk1
