#include "model/widen.h"

#include <cstdint>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "tensor/packed.h"

namespace axk1 {

void widen_rows(DType dtype, const std::byte* from, size_t num_rows, size_t cols, float* y) {
  const size_t count = num_rows * cols;
  if (is_quantized(dtype)) {
    for (size_t r = 0; r < num_rows; ++r) dequantize_row(dtype, from, cols, r, y + r * cols);
    return;
  }
  if (dtype == DType::kF32) {
    std::memcpy(y, from, count * sizeof(float));
    return;
  }
  AXK1_CHECK(dtype == DType::kBF16 || dtype == DType::kF16);
  for (size_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, from + 2 * i, sizeof bits);
    y[i] = dtype == DType::kBF16 ? bf16_to_f32(bits) : f16_to_f32(bits);
  }
}

}  // namespace axk1
