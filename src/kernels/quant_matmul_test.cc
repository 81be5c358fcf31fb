// Products with quantised weights: every table gives the bits of ref, and ref is within its bound
// of the product of what the operands mean.
#include <algorithm>
#include <cstring>

#include "kernels/quant_test_util.h"

namespace axk1 {
namespace {

using testing::KernelTest;
using testing::kNan;
using testing::kQuantTypes;
using testing::QuantProduct;
using testing::reference;

class QuantMatmul : public KernelTest {};

TEST_P(QuantMatmul, GivesTheBitsOfRef) {
  std::mt19937 rng(11);
  const auto check = [&](size_t type, size_t m, size_t n, size_t k) {
    if (!table().matmul_q[type]) return;
    const QuantProduct product(rng, kQuantTypes[type], m, n, k);
    product.expect_bits_of_ref(product.run(table().matmul_q[type]));
    count_case();
  };
  for (size_t type = 0; type < kNumQuantTypes; ++type) {
    for (size_t k : {1u, 16u, 31u, 32u, 33u, 64u, 255u, 256u, 257u, 300u, 576u, 1024u}) {
      for (size_t m : {1u, 2u, 5u, 35u}) check(type, m, 33, k);
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
      const QuantProduct product(rng, kQuantTypes[type], 3, 20, k);
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
          EXPECT_LE(std::abs(y[i * (product.y_stride()) + j] - exact), bound)
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
