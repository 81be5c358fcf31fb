// Kernels along one row, of every table against ref.
#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "kernels/kernel_test_util.h"

namespace axk1 {
namespace {

using testing::expect_close;
using testing::kInf;
using testing::kNan;
using testing::kUnitRoundoff;
using testing::random_row;

constexpr size_t kSizes[] = {0,  1,  2,  7,  8,  9,  15,  16,  17,  31,   32,   33,
                             63, 64, 65, 71, 96, 97, 256, 576, 768, 1536, 2048, 7168};

bool same_bits(float a, float b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

class ElementwiseTest : public testing::KernelTest {
 protected:
  std::mt19937 rng_{1};
};

TEST_P(ElementwiseTest, RmsNorm) {
  for (size_t n : kSizes) {
    const std::vector<float> x = random_row(rng_, n, -3, 5);
    const std::vector<float> weight = random_row(rng_, n, 0, 2);
    std::vector<float> expected(n), y(n), in_place = x;
    testing::reference().rms_norm(x.data(), weight.data(), 1e-6f, expected.data(), n);
    table().rms_norm(x.data(), weight.data(), 1e-6f, y.data(), n);
    // The sum of n squares (a chain of n / 8 and its tree, halved by the root), the mean, root and
    // inverse, two products.
    const double u = (std::ceil(n / 8.0) / 2 + 10) * kUnitRoundoff;
    expect_close(
        y, expected, [&](size_t i) { return u * std::abs(expected[i]); }, cat("n=", n));
    table().rms_norm(in_place.data(), weight.data(), 1e-6f, in_place.data(), n);
    EXPECT_EQ(in_place, y);
    count_case();
  }
}

TEST_P(ElementwiseTest, SiluMul) {
  const auto compare = [&](const std::vector<float>& gate, const std::vector<float>& up) {
    std::vector<float> expected(gate.size()), y(gate.size());
    testing::reference().silu_mul(gate.data(), up.data(), expected.data(), gate.size());
    table().silu_mul(gate.data(), up.data(), y.data(), gate.size());
    // exp within 2 units in the last place (4 u), then five roundings and ref's own; a denormal
    // exp(-|gate|) is off by up to 2^-149, scaled by gate and up.
    expect_close(
        y, expected,
        [&](size_t i) {
          return 10 * kUnitRoundoff * std::abs(double{expected[i]}) +
                 0x1p-148 * (1 + std::abs(double{gate[i]})) * (1 + std::abs(double{up[i]}));
        },
        cat("n=", gate.size()));
    std::vector<float> in_place = up;
    table().silu_mul(gate.data(), in_place.data(), in_place.data(), gate.size());
    EXPECT_TRUE(std::equal(in_place.begin(), in_place.end(), y.begin(), same_bits));
    count_case();
  };
  for (size_t n : kSizes) compare(random_row(rng_, n, -30, 30), random_row(rng_, n, -2, 2));
  compare(random_row(rng_, 1000, -200, 200), random_row(rng_, 1000, -2, 2));
  std::vector<float> gate = {0, -0.0f, kInf, -kInf, kNan, 1e-40f, 3e38f, -3e38f, -88, 89, -110};
  compare(gate, std::vector<float>(gate.size(), 1));
  gate.pop_back();  // exp(-110) is 0 in floats, and 0 times infinity NaN
  compare(gate, std::vector<float>(gate.size(), kInf));
}

struct Softmax {
  std::vector<float> scores;
  float max, sum, correction;
};

Softmax softmax(const KernelTable& table, std::vector<float> scores, float scale, float max,
                float sum) {
  Softmax r{std::move(scores), max, sum, 0};
  r.correction = table.softmax_block(r.scores.data(), r.scores.size(), scale, &r.max, &r.sum);
  return r;
}

class SoftmaxTest : public testing::KernelTest {
 protected:
  void compare(const std::vector<float>& scores, float scale, float max, float sum) {
    const Softmax expected = softmax(testing::reference(), scores, scale, max, sum);
    const Softmax actual = softmax(table(), scores, scale, max, sum);
    const std::string what = cat("n=", scores.size(), " scale=", scale, " max=", max);
    // The difference to the maximum is rounded once: relative u |difference| in its exp, which adds
    // 2 units in the last place and ref's rounding.
    const auto exp_bound = [&](float score) {
      const double shift = expected.max == -kInf ? 0 : expected.max;
      return (5 + std::abs(double{score} * scale - shift)) * kUnitRoundoff;
    };
    double sum_bound = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      const double n = static_cast<double>(scores.size()) / 8 + 8;
      if (std::isfinite(scores[i])) {
        sum_bound += expected.scores[i] * (exp_bound(scores[i]) + n * kUnitRoundoff);
      }
    }
    expect_close(
        actual.scores, expected.scores,
        [&](size_t i) { return exp_bound(scores[i]) * expected.scores[i] + 0x1p-148; }, what);
    const double carried = std::isfinite(max) ? exp_bound(max / scale) + 4 * kUnitRoundoff : 0;
    expect_close(
        {actual.correction}, {expected.correction},
        [&](size_t) { return carried * expected.correction + 0x1p-148; }, what);
    expect_close(
        {actual.sum}, {expected.sum},
        [&](size_t) {
          return sum_bound + carried * sum * expected.correction +
                 4 * kUnitRoundoff * expected.sum + 0x1p-140;
        },
        what);
    EXPECT_TRUE(actual.max == expected.max || std::isnan(expected.max)) << what;
    count_case();
  }
  std::mt19937 rng_{1};
};

TEST_P(SoftmaxTest, AgreesWithRef) {
  for (size_t n : kSizes) {
    if (n == 0) continue;
    compare(random_row(rng_, n, -40, 40), 0.13f, -kInf, 0);
    compare(random_row(rng_, n, -40, 40), 1, 3, 2);
    compare(random_row(rng_, n, -120, 0), 1, 120, 2);
    std::vector<float> masked = random_row(rng_, n, -4, 4);
    for (size_t i = 0; i < n; i += 3) masked[i] = -kInf;
    compare(masked, 0.5f, -kInf, 0);
    compare(masked, 0.5f, 1, 2);
    compare(std::vector<float>(n, -kInf), 0.5f, -kInf, 0);
    compare(std::vector<float>(n, -kInf), 0.5f, 1, 2);
    std::vector<float> spoiled = random_row(rng_, n, -4, 4);
    spoiled[n / 2] = kNan;
    compare(spoiled, 0.5f, -kInf, 0);
  }
}

// Every 4096th float in the range of exp.
TEST_P(SoftmaxTest, ExpOfAnyFloat) {
  std::vector<float> scores = {0};
  for (uint32_t bits = 0x80000000u; bits < 0xc2e00000u; bits += 4096) {  // -0 to -112
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    scores.push_back(value);
  }
  compare(scores, 1, -kInf, 0);
  EXPECT_EQ(softmax(table(), {0, -110, -kInf}, 1, 0, 0).scores, (std::vector<float>{1, 0, 0}));
}

TEST_P(SoftmaxTest, MaskedTailChangesNothing) {
  for (size_t n : kSizes) {
    if (n == 0) continue;
    const std::vector<float> scores = random_row(rng_, n, -10, 10);
    const Softmax alone = softmax(table(), scores, 0.7f, 0.5f, 3);
    for (size_t extra : {1, 7, 16, 50}) {
      std::vector<float> longer = scores;
      longer.resize(n + extra, -kInf);
      Softmax with_tail = softmax(table(), longer, 0.7f, 0.5f, 3);
      EXPECT_TRUE(std::all_of(with_tail.scores.begin() + static_cast<ptrdiff_t>(n),
                              with_tail.scores.end(), [](float s) { return s == 0; }));
      with_tail.scores.resize(n);
      EXPECT_EQ(with_tail.scores, alone.scores);
      EXPECT_EQ(with_tail.sum, alone.sum);
      EXPECT_EQ(with_tail.max, alone.max);
      EXPECT_EQ(with_tail.correction, alone.correction);
      count_case();
    }
  }
}

TEST_P(ElementwiseTest, AddAxpyScale) {
  for (size_t n : kSizes) {
    const std::vector<float> x = random_row(rng_, n, -2, 2);
    const std::vector<float> start = random_row(rng_, n, -2, 2);
    std::vector<float> y = start, expected = start;
    table().add(x.data(), y.data(), n);
    testing::reference().add(x.data(), expected.data(), n);
    EXPECT_EQ(y, expected) << "add n=" << n;
    table().scale(1.7f, y.data(), n);
    testing::reference().scale(1.7f, expected.data(), n);
    EXPECT_EQ(y, expected) << "scale n=" << n;
    table().axpy(-0.3f, x.data(), y.data(), n);
    testing::reference().axpy(-0.3f, x.data(), expected.data(), n);
    // Fused or not: one rounding of the product, one of the sum.
    expect_close(
        y, expected, [&](size_t i) { return kUnitRoundoff * (0.6 + 2 * std::abs(expected[i])); },
        cat("axpy n=", n));
    count_case();
  }
}

// All 65,536 patterns of 16 bits; floats around every rounding boundary of bf16.
TEST_P(ElementwiseTest, Conversions) {
  std::vector<uint16_t> bits(65536 + 5);  // not a multiple of any vector
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  std::vector<float> wide(bits.size()), expected(bits.size());
  const auto same = [](float a, float b) {
    return std::memcmp(&a, &b, sizeof(a)) == 0 || (std::isnan(a) && std::isnan(b));
  };
  table().f16_to_f32(bits.data(), wide.data(), bits.size());
  testing::reference().f16_to_f32(bits.data(), expected.data(), bits.size());
  EXPECT_TRUE(std::equal(wide.begin(), wide.end(), expected.begin(), same));
  table().bf16_to_f32(bits.data(), wide.data(), bits.size());
  testing::reference().bf16_to_f32(bits.data(), expected.data(), bits.size());
  EXPECT_TRUE(std::equal(wide.begin(), wide.end(), expected.begin(), same));

  std::vector<float> floats;
  for (uint32_t high = 0; high < 65536; ++high) {
    for (uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const uint32_t pattern = high << 16 | low;
      float value;
      std::memcpy(&value, &pattern, sizeof(value));
      floats.push_back(value);
    }
  }
  floats.resize(floats.size() - 3);
  std::vector<uint16_t> narrow(floats.size()), narrow_expected(floats.size());
  table().f32_to_bf16(floats.data(), narrow.data(), floats.size());
  testing::reference().f32_to_bf16(floats.data(), narrow_expected.data(), floats.size());
  EXPECT_EQ(narrow, narrow_expected);
  for (size_t n : kSizes) {  // a tail writes no more than it should
    std::vector<uint16_t> out(n + 8, 7);
    table().f32_to_bf16(floats.data() + 70000, out.data(), n);
    EXPECT_TRUE(std::all_of(out.begin() + static_cast<ptrdiff_t>(n), out.end(),
                            [](uint16_t v) { return v == 7; }));
    count_case();
  }
}

// Tables that add only matrix products have none of these entries.
INSTANTIATE_TEST_SUITE_P(All, ElementwiseTest,
                         ::testing::ValuesIn(testing::tables_with([](const KernelTable& table) {
                           return table.rms_norm;
                         })),
                         testing::kernel_test_name);
INSTANTIATE_TEST_SUITE_P(All, SoftmaxTest,
                         ::testing::ValuesIn(testing::tables_with([](const KernelTable& table) {
                           return table.softmax_block;
                         })),
                         testing::kernel_test_name);

}  // namespace
}  // namespace axk1
