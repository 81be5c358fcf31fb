// Quantised matrices: how their bytes lie, the same in memory and in a k1pack file.
//
// A matrix [rows, cols] is cut into panels of 16 rows, the lanes of a vector register. A panel
// holds its rows side by side along k (cols), so that a product reads it once and in order:
//
//   panel   scale d of every block: bf16 [blocks][16 rows], zero-padded to 64 bytes
//           the blocks, one after the other; zero-padded to 64 bytes
//   block   256 columns; the last one of a row has what is left, rounded up to 32
//   group   32 columns of a block; the columns that pad the last group are zero
//   quad    4 columns: byte 4 r + c of its 64 is row r, column c
//
// The value of a weight is an integer of 8 bits times its block's d:
//
//   kQ8   d * (u - 128)              u is the byte stored, 1 to 255; 8.0625 bits a weight
//   kQ4   d * s * kQ4Values[code]    s of 16 columns, 4 bits; code 4 bits; 4.3125 bits a weight
//   kQ3   d * s * kQ3Values[code]    s of 32 columns, 4 bits; code 3 bits; 3.1875 bits a weight
//
// s is 0 to kMaxSubScale, so that s times a value always fits eight bits: a kernel may multiply by
// s before the product or after it, on integers, and get the same bits.
//
//   kQ8 block   the quads
//   kQ4 block   for each group 16 bytes of s: byte r has row r, columns 0-15 in its low nibble,
//               16-31 in the high one; then for each group 256 bytes of codes: byte b of its i-th
//               64 holds byte b of quad 2 i (low nibble) and of quad 2 i + 1 (high nibble)
//   kQ3 block   for each group 8 bytes of s: byte r has row r (low nibble) and row r + 8 (high);
//               then for each group 192 bytes: byte b of the first 64 holds the low two bits of
//               byte b of quads 0 to 3, from the lowest bits up; the next 64, of quads 4 to 7; the
//               last 64 are the third bits, 8 bytes for each quad, bit b for byte b
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bits.h"
#include "tensor/dtype.h"

namespace axk1 {

inline constexpr size_t kPanelRows = 16;
inline constexpr size_t kBlockCols = 256;
inline constexpr size_t kGroupCols = 32;
inline constexpr int kMaxSubScale = 12;

inline constexpr int8_t kQ4Values[16] = {-10, -8, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 10};
inline constexpr int8_t kQ3Values[8] = {-10, -6, -3, -1, 1, 3, 6, 9};
// Added to a value to make it unsigned.
inline constexpr int kValueOffset = 10;

constexpr size_t num_blocks(size_t cols) {
  return ceil_div(cols, kBlockCols);
}
// Of block `block` of a row of `cols`.
constexpr size_t num_groups(size_t cols, size_t block) {
  const size_t left = cols - block * kBlockCols;
  return left < kBlockCols ? ceil_div(left, kGroupCols) : kBlockCols / kGroupCols;
}

// Bytes of one group with its share of sub-scales.
constexpr size_t group_bytes(DType dtype) {
  switch (dtype) {
    case DType::kQ8:
      return 512;
    case DType::kQ4:
      return 16 + 256;
    case DType::kQ3:
      return 8 + 192;
    default:
      return 0;
  }
}
// Of these, the sub-scales, which lead a block.
constexpr size_t sub_scale_bytes(DType dtype) {
  return dtype == DType::kQ4 ? 16 : dtype == DType::kQ3 ? 8 : 0;
}
constexpr size_t panel_header_bytes(size_t cols) {
  return round_up(num_blocks(cols) * kPanelRows * sizeof(uint16_t), 64);
}
constexpr size_t panel_bytes(DType dtype, size_t cols) {
  return round_up(panel_header_bytes(cols) + ceil_div(cols, kGroupCols) * group_bytes(dtype), 64);
}

// Bytes of a matrix of any type. Rows of quantised ones are padded to whole panels.
constexpr size_t matrix_bytes(DType dtype, size_t rows, size_t cols) {
  return is_quantized(dtype) ? ceil_div(rows, kPanelRows) * panel_bytes(dtype, cols)
                             : rows * cols * dtype_bytes(dtype);
}

// Activations that multiply quantised weights: a row of f32 as 8-bit integers, block by block.
//
//   int8   q [cols, rounded up to 32, then to 64 bytes]   zero beyond cols
//   f32    d [blocks]    x is about d * q, within d / 2; d = max|x| / 127
//   int32  bias8 [blocks]            -128 * the sum of the block's q
//   int32  bias4 [cols / 16]         -kValueOffset * the sum of 16 q
//
// The biases take back what unsigned weights add to a product of integers.
constexpr size_t activation_scales_at(size_t cols) {
  return round_up(cols, 64);
}
constexpr size_t activation_row_bytes(size_t cols) {
  return round_up(
      activation_scales_at(cols) + 8 * num_blocks(cols) + 8 * ceil_div(cols, kGroupCols), 64);
}

// The integers of one block of one row, [columns of the block, padding included], and its d.
float quantized_block(DType dtype, const void* matrix, size_t cols, size_t row, size_t block,
                      int8_t* integers);

// y [cols] = the values of one row of a quantised matrix. Plain and slow; the meaning of the
// format. Any bytes give some values, never a read out of bounds.
void dequantize_row(DType dtype, const void* matrix, size_t cols, size_t row, float* y);

}  // namespace axk1
