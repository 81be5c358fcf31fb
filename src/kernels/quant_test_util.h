// Products with quantised weights for the tests of their kernels: random operands, and comparison
// with the bits of ref.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/bits.h"
#include "kernels/kernel_test_util.h"
#include "tensor/buffer.h"
#include "tensor/packed.h"

namespace axk1::testing {

inline constexpr DType kQuantTypes[kNumQuantTypes] = {DType::kQ8, DType::kQ4, DType::kQ3};

// Random bytes that the format allows, in exactly the memory they need.
inline std::vector<uint8_t> random_weights(std::mt19937& rng, DType dtype, size_t rows,
                                           size_t cols) {
  std::vector<uint8_t> bytes(matrix_bytes(dtype, rows, cols));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(std::max<uint32_t>(1, rng() & 255));
  for (size_t p = 0; p < ceil_div(rows, kPanelRows); ++p) {
    uint8_t* panel = bytes.data() + p * panel_bytes(dtype, cols);
    for (size_t i = 0; i < num_blocks(cols) * kPanelRows; ++i) {
      const float d = static_cast<float>(static_cast<int>(rng() % 2001) - 1000) * 1e-4f;
      const uint16_t bits = f32_to_bf16(d);
      std::memcpy(panel + 2 * i, &bits, sizeof bits);
    }
    uint8_t* block = panel + panel_header_bytes(cols);
    for (size_t b = 0; b < num_blocks(cols); ++b) {
      const size_t groups = num_groups(cols, b);
      const size_t scales = dtype == DType::kQ4   ? 16 * groups
                            : dtype == DType::kQ3 ? 8 * groups
                                                  : 0;
      for (size_t i = 0; i < scales; ++i) {
        block[i] = static_cast<uint8_t>(rng() % 13 | (rng() % 13) << 4);
      }
      block += groups * group_bytes(dtype);
    }
  }
  return bytes;
}

// A random product. What a row of x holds between its last group and its scales is nobody's, and
// poisoned here.
struct QuantProduct {
  size_t m, n, k;
  DType dtype;
  std::vector<float> x;
  std::vector<uint8_t> w;
  Buffer rows;  // x as quantize_row writes it
  size_t row_bytes;

  QuantProduct(std::mt19937& rng, DType type, size_t m_, size_t n_, size_t k_)
      : m(m_), n(n_), k(k_), dtype(type), row_bytes(activation_row_bytes(k_)) {
    x = random_row(rng, m * k, -2, 2);
    w = random_weights(rng, dtype, n, k);
    rows = Buffer(m * row_bytes);
    for (size_t i = 0; i < m; ++i) {
      char* row = rows.as<char>() + i * row_bytes;
      reference().quantize_row(x.data() + i * k, row, k);
      const size_t used = round_up(k, kGroupCols);
      std::memset(row + used, 0x55, activation_scales_at(k) - used);
    }
  }
  size_t y_stride() const { return n + 3; }
  // y; kernel(args) computes the product.
  template <class Kernel>
  std::vector<float> run(Kernel&& kernel) const {
    std::vector<float> y(m == 0 ? 0 : (m - 1) * y_stride() + n, -12345.0f);
    kernel(QuantMatmulArgs{rows.data(), row_bytes, w.data(), y.data(), y_stride(), m, n, k});
    return y;
  }
  void expect_bits_of_ref(const std::vector<float>& actual) const {
    const auto type = std::ranges::find(kQuantTypes, dtype) - kQuantTypes;
    const std::vector<float> expected = run(reference().matmul_q[type]);
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(actual[i]), std::bit_cast<uint32_t>(expected[i]))
          << dtype_name(dtype) << " m=" << m << " n=" << n << " k=" << k << " at row "
          << i / y_stride() << ", column " << i % y_stride() << ": " << actual[i] << ", expected "
          << expected[i];
    }
  }
};

}  // namespace axk1::testing
