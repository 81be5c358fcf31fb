// Every table of training kernels against plain sums.
#include "kernels/train_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/bf16.h"
#include "kernels/registry.h"

namespace axk1 {
namespace {

class TrainKernelTest : public ::testing::TestWithParam<const TrainKernels*> {
 protected:
  void SetUp() override {
    const uint32_t missing = table().needs & ~cpu_features();
    if (missing) GTEST_SKIP() << "skipped: no " << cpu_feature_names(missing);
  }
  const TrainKernels& table() const { return *GetParam(); }
  std::vector<float> normal(size_t size) {
    std::normal_distribution<float> draw;
    std::vector<float> values(size);
    for (float& value : values) value = draw(random_);
    return values;
  }
  float narrow(float x) { return bf16_to_f32(f32_to_bf16(x)); }
  void expect_pair_product(size_t m, size_t n, size_t k, bool accumulate, bool by_rows);
  std::mt19937 random_{7};
};

INSTANTIATE_TEST_SUITE_P(Tables, TrainKernelTest, ::testing::ValuesIn(all_train_kernels()),
                         [](const auto& test) { return std::string(test.param->name); });

constexpr double kUnit = 0x1p-24;
const std::vector<size_t> kSizes = {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128};

// Two roundings for each pair; denormals, which may be taken as zero, do not occur.
void TrainKernelTest::expect_pair_product(size_t m, size_t n, size_t k, bool accumulate,
                                          bool by_rows) {
  const std::vector<float> a = normal(2 * k * m), b = normal(2 * k * kPairPanel);
  std::vector<uint32_t> a_words(k * m + 1), b_words(k * kPairPanel + 1);
  const size_t row_stride = by_rows ? k : 1, step_stride = by_rows ? 1 : m;
  for (size_t p = 0; p < k; ++p) {
    for (size_t i = 0; i < m; ++i) {
      table().pack_pairs(&a[2 * p * m + i], &a[(2 * p + 1) * m + i],
                         &a_words[i * row_stride + p * step_stride], 1);
    }
    table().pack_pairs(&b[2 * p * kPairPanel], &b[(2 * p + 1) * kPairPanel],
                       &b_words[p * kPairPanel], kPairPanel);
  }
  const std::vector<float> before = normal(m * (n + 3));
  std::vector<float> y = before;
  table().pair_product({.a = a_words.data(),
                        .a_row_stride = row_stride,
                        .a_step_stride = step_stride,
                        .b = b_words.data(),
                        .y = y.data(),
                        .y_stride = n + 3,
                        .m = m,
                        .n = n,
                        .k = k,
                        .accumulate = accumulate});
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n + 3; ++j) {
      const float old = before[i * (n + 3) + j], found = y[i * (n + 3) + j];
      if (j >= n) {
        ASSERT_EQ(found, old) << "beyond n";
        continue;
      }
      double sum = accumulate ? double{old} : 0.0, size = std::abs(sum);
      for (size_t s = 0; s < 2 * k; ++s) {
        const double product = double{narrow(a[s * m + i])} * double{narrow(b[s * kPairPanel + j])};
        sum += product;
        size += std::abs(product);
      }
      ASSERT_NEAR(found, sum, static_cast<double>(2 * k + 1) * kUnit * size)
          << m << " x " << n << ", k " << k << " at " << i << ", " << j;
    }
  }
}

TEST_P(TrainKernelTest, PairProductIsTheSumOfProducts) {
  for (const bool accumulate : {false, true}) {
    // a by rows, and by columns as a product over tokens has it.
    for (const bool by_rows : {true, false}) {
      for (size_t m : {1, 2, 3, 5, 6, 7, 11, 12, 13, 25}) {
        for (size_t n : {1, 15, 16, 17, 32, 47, 48, 63, 64}) {
          for (size_t k : {0, 1, 2, 9}) expect_pair_product(m, n, k, accumulate, by_rows);
        }
      }
      // Around what fits tiles, and cuts of long sums.
      for (size_t m : {16, 17, 33, 48}) {
        for (size_t n : {16, 33, 49}) {
          for (size_t k : {16, 31, 33}) expect_pair_product(m, n, k, accumulate, by_rows);
        }
      }
      for (size_t k : {128, 256, 257, 530}) expect_pair_product(35, 34, k, accumulate, by_rows);
    }
  }
}

TEST_P(TrainKernelTest, RowsOfAPairProductDoNotDependOnTheOthers) {
  constexpr size_t kRows = 39, kSteps = 277, kCols = 45;
  const std::vector<float> even = normal(kRows * kSteps), odd = normal(kRows * kSteps);
  const std::vector<float> b_even = normal(kSteps * kPairPanel),
                           b_odd = normal(kSteps * kPairPanel);
  std::vector<uint32_t> a(even.size()), b(b_even.size());
  table().pack_pairs(even.data(), odd.data(), a.data(), a.size());
  table().pack_pairs(b_even.data(), b_odd.data(), b.data(), b.size());
  const auto multiply = [&](size_t row, size_t rows) {
    std::vector<float> y(rows * kCols);
    table().pair_product({.a = a.data() + row * kSteps,
                          .a_row_stride = kSteps,
                          .a_step_stride = 1,
                          .b = b.data(),
                          .y = y.data(),
                          .y_stride = kCols,
                          .m = rows,
                          .n = kCols,
                          .k = kSteps,
                          .accumulate = false});
    return y;
  };
  const std::vector<float> whole = multiply(0, kRows);
  for (const auto& [row, rows] : {std::pair<size_t, size_t>{0, 1}, {17, 1}, {38, 1}, {5, 20}}) {
    const auto from = whole.begin() + static_cast<std::ptrdiff_t>(row * kCols);
    const std::vector<float> expected(from, from + static_cast<std::ptrdiff_t>(rows * kCols));
    EXPECT_EQ(multiply(row, rows), expected) << rows << " rows from " << row;
  }
}

TEST_P(TrainKernelTest, PairsRoundToNearestEven) {
  for (size_t n : kSizes) {
    std::vector<float> even = normal(n), odd = normal(n);
    even[0] = std::bit_cast<float>(0x3f808000u);  // a tie: to even, down
    odd[0] = std::bit_cast<float>(0x3f818000u);   // a tie: up
    if (n > 2) {
      even[1] = NAN;
      odd[1] = INFINITY;
      odd[2] = 1e-40f;
    }
    std::vector<uint32_t> words(n + 1, 5u);
    table().pack_pairs(even.data(), odd.data(), words.data(), n);
    for (size_t i = 0; i < n; ++i) {
      ASSERT_EQ(words[i] & 0xffff, f32_to_bf16(even[i])) << i;
      ASSERT_EQ(words[i] >> 16, f32_to_bf16(odd[i])) << i;
    }
    table().pack_pairs(even.data(), nullptr, words.data(), n);
    for (size_t i = 0; i < n; ++i) ASSERT_EQ(words[i], f32_to_bf16(even[i]));
    ASSERT_EQ(words[n], 5u);
  }
}

TEST_P(TrainKernelTest, RmsNormGradIsItsFormula) {
  for (size_t n : kSizes) {
    for (const bool accumulate : {false, true}) {
      const std::vector<float> dy = normal(n), x = normal(n), w = normal(n), old = normal(2 * n);
      std::vector<float> dx(old.begin(), old.begin() + static_cast<std::ptrdiff_t>(n));
      std::vector<float> dw(old.begin() + static_cast<std::ptrdiff_t>(n), old.end());
      double squares = 0, dot = 0, dot_size = 0;
      for (size_t i = 0; i < n; ++i) {
        squares += double{x[i]} * double{x[i]};
        dot += double{w[i]} * double{dy[i]} * double{x[i]};
        dot_size += std::abs(double{w[i]} * double{dy[i]} * double{x[i]});
      }
      ASSERT_NEAR(table().sum_squares(x.data(), n), squares,
                  static_cast<double>(n + 2) * kUnit * squares);
      const float s = 0.7f;
      table().rms_norm_grad(dy.data(), x.data(), w.data(), s, n, accumulate, dx.data(), dw.data());
      const auto count = static_cast<double>(n);
      for (size_t i = 0; i < n; ++i) {
        const double s2 = double{s} * s, shrink = x[i] * s2 * dot / count;
        const double found_dx = dx[i] - (accumulate ? double{old[i]} : 0.0);
        const double size =
            std::abs(old[i]) + std::abs(w[i] * dy[i]) + std::abs(x[i]) * s2 * dot_size / count;
        ASSERT_NEAR(found_dx, s * (double{w[i]} * dy[i] - shrink), (count + 8) * kUnit * size);
        const double term = double{s} * dy[i] * x[i];
        ASSERT_NEAR(dw[i], old[n + i] + term, 4 * kUnit * (std::abs(old[n + i]) + std::abs(term)));
      }
    }
  }
}

TEST_P(TrainKernelTest, SwigluGradIsItsFormula) {
  for (size_t n : kSizes) {
    std::vector<float> gate = normal(n);
    const std::vector<float> up = normal(n), da = normal(n);
    gate[0] = -120;  // exp(120) would overflow
    if (n > 1) gate[1] = 120;
    std::vector<float> d_gate(n), d_up(n);
    const float factor = 1.7f;
    const float d_factor = table().swiglu_grad(gate.data(), up.data(), da.data(), factor,
                                               d_gate.data(), d_up.data(), n);
    double sum = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
      const double g = gate[i], sigmoid = 1 / (1 + std::exp(-g)), silu = g * sigmoid;
      const double d = double{da[i]} * factor;
      sum += da[i] * silu * up[i];
      size += std::abs(da[i] * silu * up[i]);
      // A dozen roundings; 1 + g (1 - sigmoid) may cancel for negative g.
      ASSERT_NEAR(d_up[i], d * silu, 12 * kUnit * std::abs(d * silu) + 1e-30);
      ASSERT_NEAR(d_gate[i], d * up[i] * sigmoid * (1 + g * (1 - sigmoid)),
                  16 * kUnit * std::abs(d * up[i]) * sigmoid * (1 + std::abs(g)) + 1e-30);
    }
    ASSERT_NEAR(d_factor, sum, static_cast<double>(n + 12) * kUnit * size + 1e-30);
  }
}

TEST_P(TrainKernelTest, SoftmaxGradIsItsFormula) {
  for (size_t n : kSizes) {
    const std::vector<float> p = normal(n), before = normal(n);
    std::vector<float> ds = before;
    table().softmax_grad(p.data(), 0.3f, 0.5f, ds.data(), n);
    for (size_t i = 0; i < n; ++i) {
      const double expected = double{p[i]} * (double{before[i]} - double{0.3f}) * 0.5;
      ASSERT_NEAR(ds[i], expected, 4 * kUnit * std::abs(p[i]) * (std::abs(before[i]) + 0.3));
    }
  }
}

TEST(TrainKernels, SelectionNeedsOnlyWhatIsThere) {
  for (uint32_t features = 0; features < 64; ++features) {
    EXPECT_EQ(select_train_kernels(features).needs & ~features, 0u);
  }
  EXPECT_STREQ(select_train_kernels(0).name, "ref");
}

}  // namespace
}  // namespace axk1
