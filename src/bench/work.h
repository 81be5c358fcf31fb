// What weights take, for counting the work of a step.
#pragma once

#include "ops/moe.h"
#include "tensor/tensor_view.h"

namespace axk1 {

inline double elements(const MatrixView& m) {
  return static_cast<double>(m.rows) * static_cast<double>(m.cols);
}
inline double elements(const ExpertWeights& e) {
  return elements(e.gate) + elements(e.up) + elements(e.down);
}
inline double bytes_of(const MatrixView& m) {
  return static_cast<double>(matrix_bytes(m.dtype, m.rows, m.cols));
}
inline double bytes_of(const ExpertWeights& e) {
  return bytes_of(e.gate) + bytes_of(e.up) + bytes_of(e.down);
}

}  // namespace axk1
