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

void dequantize_row(DType dtype, const void* matrix, size_t cols, size_t row, float* y) {
  const auto* panel =
      static_cast<const uint8_t*>(matrix) + row / kPanelRows * panel_bytes(dtype, cols);
  const uint8_t* block = panel + panel_header_bytes(cols);
  const size_t r = row % kPanelRows;
  for (size_t b = 0; b < num_blocks(cols); ++b) {
    uint16_t d_bits;
    std::memcpy(&d_bits, panel + (b * kPanelRows + r) * sizeof d_bits, sizeof d_bits);
    const float d = bf16_to_f32(d_bits);
    const size_t groups = num_groups(cols, b);
    for (size_t c = b * kBlockCols; c < std::min(cols, (b + 1) * kBlockCols); ++c) {
      const size_t in_block = c - b * kBlockCols;
      y[c] = d * static_cast<float>(quantized_value(dtype, block, groups, in_block / kGroupCols, r,
                                                    in_block % kGroupCols));
    }
    block += groups * group_bytes(dtype);
  }
}

}  // namespace axk1
