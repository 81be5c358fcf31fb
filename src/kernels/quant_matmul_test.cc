// Products with quantised weights: every table gives the bits of ref, and ref is within its bound
// of the product of what the operands mean.
#include <algorithm>
#include <bit>
#include <cstring>

#include "base/text.h"
#include "kernels/kernel_test_util.h"
#include "tensor/buffer.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

using testing::KernelTest;
using testing::kNan;
using testing::reference;

constexpr DType kTypes[kNumQuantTypes] = {DType::kQ8, DType::kQ4, DType::kQ3};

// Random bytes that the format allows, in exactly the memory they need.
std::vector<uint8_t> random_weights(std::mt19937& rng, DType dtype, size_t rows, size_t cols) {
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

struct Product {
  size_t m, n, k;
  DType dtype;
  std::vector<float> x;
  std::vector<uint8_t> w;
  Buffer rows;  // x as quantize_row writes it
  size_t row_bytes;

  Product(std::mt19937& rng, DType type, size_t m_, size_t n_, size_t k_)
      : m(m_), n(n_), k(k_), dtype(type), row_bytes(activation_row_bytes(k_)) {
    x = testing::random_row(rng, m * k, -2, 2);
    w = random_weights(rng, dtype, n, k);
    rows = Buffer(m * row_bytes);
    for (size_t i = 0; i < m; ++i) {
      reference().quantize_row(x.data() + i * k, rows.as<char>() + i * row_bytes, k);
    }
  }
  std::vector<float> run(QuantMatmulKernel kernel) const {
    const size_t stride = n + 3;
    std::vector<float> y(m == 0 ? 0 : (m - 1) * stride + n, -12345.0f);
    kernel({rows.data(), row_bytes, w.data(), y.data(), stride, m, n, k});
    return y;
  }
};

class QuantMatmul : public KernelTest {};

TEST_P(QuantMatmul, GivesTheBitsOfRef) {
  std::mt19937 rng(11);
  const auto check = [&](size_t type, size_t m, size_t n, size_t k) {
    if (!table().matmul_q[type]) return;
    const Product product(rng, kTypes[type], m, n, k);
    const std::vector<float> expected = product.run(reference().matmul_q[type]);
    const std::vector<float> actual = product.run(table().matmul_q[type]);
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(actual[i]), std::bit_cast<uint32_t>(expected[i]))
          << dtype_name(kTypes[type]) << " m=" << m << " n=" << n << " k=" << k << " at row "
          << i / (n + 3) << ", column " << i % (n + 3) << ": " << actual[i] << ", expected "
          << expected[i];
    }
    count_case();
  };
  for (size_t type = 0; type < kNumQuantTypes; ++type) {
    for (size_t k : {1u, 16u, 31u, 32u, 33u, 64u, 255u, 256u, 257u, 300u, 576u, 1024u}) {
      for (size_t m : {1u, 2u, 5u}) check(type, m, 33, k);
    }
    for (size_t n : {1u, 15u, 16u, 17u, 31u, 32u, 33u, 48u, 80u}) {
      for (size_t m : {1u, 3u, 20u}) check(type, m, n, 320);
    }
    for (size_t m = 0; m <= 40; ++m) check(type, m, 32, 512);
    for (size_t m : {400u, 777u}) check(type, m, 32, 288);
  }
}

TEST_P(QuantMatmul, RoundsActivationsLikeRef) {
  if (!table().quantize_row) GTEST_SKIP() << "skipped: " << table().name << " has no quantize_row";
  std::mt19937 rng(3);
  for (size_t n :
       {1u, 7u, 15u, 16u, 17u, 31u, 32u, 33u, 64u, 255u, 256u, 257u, 300u, 1536u, 7168u}) {
    for (int kind = 0; kind < 6; ++kind) {
      std::vector<float> x = testing::random_row(rng, n, -3, 3);
      if (kind == 1) std::fill(x.begin(), x.end(), 0.0f);
      if (kind == 2) x[n / 2] = 1e4f;
      if (kind == 4) x[n / 3] = testing::kInf;
      if (kind == 5) x[n - 1] = kNan;
      if (kind == 3) {
        for (float& v : x) v = std::nearbyint(v * 40) / 2;  // ties
        x[0] = 127;
      }
      const size_t bytes = activation_row_bytes(n);
      Buffer expected(bytes), actual(bytes);
      std::memset(actual.data(), 0x55, bytes);
      reference().quantize_row(x.data(), expected.data(), n);
      table().quantize_row(x.data(), actual.data(), n);
      // Padding beyond the biases is nobody's.
      const size_t used = activation_scales_at(n) + 8 * num_blocks(n) + 8 * ceil_div(n, kGroupCols);
      const auto* a = actual.as<uint8_t>();
      const auto* e = expected.as<uint8_t>();
      for (size_t i = 0; i < used; ++i) {
        if (i >= round_up(n, kGroupCols) && i < activation_scales_at(n)) continue;
        ASSERT_EQ(a[i], e[i]) << "n=" << n << " kind " << kind << " byte " << i;
      }
      count_case();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, QuantMatmul,
                         ::testing::ValuesIn(testing::tables_with([](const KernelTable& table) {
                           return table.matmul_q[0] || table.quantize_row;
                         })),
                         testing::kernel_test_name);

TEST(QuantMatmulRef, IsWithinItsBoundOfTheExactProduct) {
  std::mt19937 rng(5);
  size_t cases = 0;
  for (size_t type = 0; type < kNumQuantTypes; ++type) {
    for (size_t k : {1u, 33u, 256u, 600u}) {
      const Product product(rng, kTypes[type], 3, 20, k);
      const std::vector<float> y = product.run(reference().matmul_q[type]);
      std::vector<float> w(k);
      for (size_t j = 0; j < product.n; ++j) {
        dequantize_row(product.dtype, product.w.data(), k, j, w.data());
        for (size_t i = 0; i < product.m; ++i) {
          double exact = 0, magnitude = 0, bound = 0;
          for (size_t b = 0; b < num_blocks(k); ++b) {
            double largest = 0, weights = 0;
            for (size_t c = b * kBlockCols; c < std::min(k, (b + 1) * kBlockCols); ++c) {
              const double x = product.x[i * k + c];
              exact += x * w[c];
              magnitude += std::abs(x * w[c]);
              largest = std::max(largest, std::abs(x));
              weights += std::abs(w[c]);
            }
            // Half a step, and the roundings of the scale and of x times its inverse.
            bound += largest / 127 * (0.5 + 127 * 3 * testing::kUnitRoundoff) * weights;
          }
          bound += 2 * static_cast<double>(num_blocks(k) + 1) * testing::kUnitRoundoff * magnitude;
          EXPECT_LE(std::abs(y[i * (product.n + 3) + j] - exact), bound)
              << dtype_name(product.dtype) << " k=" << k << " row " << i << " column " << j;
          ++cases;
        }
      }
    }
  }
  std::printf("[ cases ] QuantMatmulRef: %zu\n", cases);
}

}  // namespace
}  // namespace axk1
