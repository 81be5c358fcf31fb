#include "tensor/packed.h"

#include <algorithm>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"

namespace axk1 {
namespace {

// Integer of row `r`, column `c` (0 to 31) of group `g`, block data at `block` of `groups` groups.
int quantized_value(DType dtype, const uint8_t* block, size_t groups, size_t g, size_t r,
                    size_t c) {
  const size_t quad = c / 4, byte = 4 * r + c % 4;
  if (dtype == DType::kQ8) return block[g * 512 + quad * 64 + byte] - 128;
  if (dtype == DType::kQ4) {
    const int scales = block[g * 16 + r];
    const int codes = block[groups * 16 + g * 256 + quad / 2 * 64 + byte];
    const int s = c < 16 ? scales & 15 : scales >> 4;
    return s * kQ4Values[quad % 2 ? codes >> 4 : codes & 15];
  }
  AXK1_CHECK(dtype == DType::kQ3);
  const int scales = block[g * 8 + r % 8];
  const int s = r < 8 ? scales & 15 : scales >> 4;
  const uint8_t* codes = block + groups * 8 + g * 192;
  const int low = codes[quad / 4 * 64 + byte] >> (2 * (quad % 4)) & 3;
  const int high = codes[128 + quad * 8 + byte / 8] >> (byte % 8) & 1;
  return s * kQ3Values[low + 4 * high];
}

}  // namespace

float quantized_block(DType dtype, const void* matrix, size_t cols, size_t row, size_t block,
                      int8_t* integers) {
  const auto* panel =
      static_cast<const uint8_t*>(matrix) + row / kPanelRows * panel_bytes(dtype, cols);
  const size_t r = row % kPanelRows, groups = num_groups(cols, block);
  const uint8_t* data =
      panel + panel_header_bytes(cols) + block * (kBlockCols / kGroupCols) * group_bytes(dtype);
  for (size_t c = 0; c < groups * kGroupCols; ++c) {
    integers[c] = static_cast<int8_t>(
        quantized_value(dtype, data, groups, c / kGroupCols, r, c % kGroupCols));
  }
  uint16_t d;
  std::memcpy(&d, panel + (block * kPanelRows + r) * sizeof d, sizeof d);
  return bf16_to_f32(d);
}

void dequantize_row(DType dtype, const void* matrix, size_t cols, size_t row, float* y) {
  int8_t integers[kBlockCols];
  for (size_t first = 0; first < cols; first += kBlockCols) {
    const float d = quantized_block(dtype, matrix, cols, row, first / kBlockCols, integers);
    const size_t count = std::min(kBlockCols, cols - first);
    for (size_t c = 0; c < count; ++c) y[first + c] = d * static_cast<float>(integers[c]);
  }
}

}  // namespace axk1
