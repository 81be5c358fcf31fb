// Views of tensors: where the numbers are, of which type and shape. They own nothing.
#pragma once

#include <cstddef>

#include "base/check.h"
#include "tensor/dtype.h"
#include "tensor/packed.h"

namespace axk1 {

// A matrix [rows, cols]: row-major with `stride` elements from one row to the next, or, of a
// quantised type, panels (tensor/packed.h), where stride means nothing.
struct MatrixView {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  size_t rows = 0;
  size_t cols = 0;
  size_t stride = 0;

  explicit operator bool() const { return data != nullptr; }

  // Rows [first, first + count). Of panels, first is a multiple of kPanelRows.
  MatrixView slice_rows(size_t first, size_t count) const {
    MatrixView part = *this;
    size_t offset = first * stride * dtype_bytes(dtype);
    if (is_quantized(dtype)) {
      AXK1_CHECK(first % kPanelRows == 0);
      offset = first / kPanelRows * panel_bytes(dtype, cols);
    }
    part.data = static_cast<const char*>(data) + offset;
    part.rows = count;
    return part;
  }
};

}  // namespace axk1
