// The tile program of cpu/amx over the model of the tile unit, on any machine with AVX-512; where
// there is a unit, MatmulTest runs the same program on it, and the model is compared with it here.
#include "kernels/cpu/tile_model.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/text.h"
#include "kernels/kernel_test_util.h"
#include "kernels/train_kernels.h"

#if defined(__x86_64__)

// g++ 12's own avx512 header reads an undefined vector on purpose.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

namespace axk1 {
namespace {

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#include "kernels/cpu/amx/tile_config.inl"
#include "kernels/cpu/amx/tile_unit.inl"
#include "kernels/cpu/amx/transpose.inl"
// Needs the above.
#include "kernels/cpu/amx/matmul_tiles.inl"
#include "kernels/cpu/amx_train/pair_tiles.inl"

#pragma GCC pop_options

using testing::Elements;
using testing::expect_close;
using testing::kUnitRoundoff;
using testing::matrix;

struct Shape {
  size_t m, n, k, gap;
};

std::vector<float> run_on_model(const Shape& s, const Elements& x, const Elements& w, size_t i,
                                size_t m, size_t j, size_t n) {
  std::vector<float> y(s.m * s.n, -1);
  TileModel unit;
  const size_t stride = s.k + s.gap;
  matmul_nt_tiles(unit, {x.at(i * stride), stride, w.at(j * stride), stride, y.data() + i * s.n + j,
                         s.n, m, n, s.k});
  return y;
}

template <class Value>
std::pair<Elements, Elements> operands(const Shape& s, Value&& value) {
  return {Elements(DType::kBF16, matrix(s.m, s.k, s.k + s.gap, value)),
          Elements(DType::kBF16, matrix(s.n, s.k, s.k + s.gap, value))};
}

std::vector<float> run_ref(const Shape& s, const Elements& x, const Elements& w) {
  std::vector<float> y(s.m * s.n);
  const size_t stride = s.k + s.gap;
  testing::reference().matmul_nt[static_cast<size_t>(MatmulTypes::kBF16BF16)](
      {x.at(0), stride, w.at(0), stride, y.data(), s.n, s.m, s.n, s.k});
  return y;
}

TEST(TileModel, ProgramAgreesWithRef) {
  if (!(cpu_features() & kCpuAvx512)) GTEST_SKIP() << "skipped: no avx512";
  std::mt19937 rng(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  size_t cases = 0;
  const auto compare = [&](const Shape& s) {
    const auto [x, w] = operands(s, [&] { return uniform(rng); });
    const std::vector<float> expected = run_ref(s, x, w);
    const auto bound = [&, &x = x, &w = w](size_t at) {
      double sum = 0;
      for (size_t p = 0; p < s.k; ++p) {
        sum += std::abs(double{x.value(at / s.n * (s.k + s.gap) + p)} *
                        w.value(at % s.n * (s.k + s.gap) + p));
      }
      return (static_cast<double>(s.k) + 2) * kUnitRoundoff * sum;
    };
    expect_close(run_on_model(s, x, w, 0, s.m, 0, s.n), expected, bound,
                 cat("m=", s.m, " n=", s.n, " k=", s.k, " gap=", s.gap));
    ++cases;
  };
  for (size_t m : {0, 1, 2, 15, 16, 17, 31, 32, 33, 65}) {
    for (size_t n : {0, 1, 15, 16, 17, 31, 32, 33, 50}) {
      for (size_t k : {0, 1, 2, 31, 32, 33, 65}) compare({m, n, k, (m + n) % 3});
    }
  }
  for (const Shape& s : {Shape{3, 20, 576, 0},
                         {33, 17, 1024, 0},
                         {5, 19, 1025, 2},
                         {2, 1060, 40, 0},
                         {1, 16, 7168, 0}}) {
    compare(s);
  }
  std::printf("[ cases ] TileModel.ProgramAgreesWithRef: %zu\n", cases);
}

// Small integers, of which every sum is exact.
TEST(TileModel, PairProductsAreExact) {
  if (!(cpu_features() & kCpuAvx512)) GTEST_SKIP() << "skipped: no avx512";
  std::mt19937 rng(5);
  std::uniform_int_distribution<int> small(-8, 8);
  const auto pair = [&] {
    const auto bf16 = [&] { return uint32_t{f32_to_bf16(static_cast<float>(small(rng)))}; };
    const uint32_t low = bf16();
    return low | bf16() << 16;
  };
  for (const bool by_rows : {true, false}) {
    for (const auto& [m, n, k] : {std::array<size_t, 3>{1, 1, 1},
                                  {16, 16, 16},
                                  {17, 64, 40},
                                  {33, 33, 15},
                                  {70, 50, 0},
                                  {5, 48, 300}}) {
      std::vector<uint32_t> a(m * k), b(k * kPairPanel);
      std::generate(a.begin(), a.end(), pair);
      std::generate(b.begin(), b.end(), pair);
      std::vector<float> y(m * n, 3), expected = y;
      const PairProductArgs args{.a = a.data(),
                                 .a_row_stride = by_rows ? k : 1,
                                 .a_step_stride = by_rows ? 1 : m,
                                 .b = b.data(),
                                 .y = y.data(),
                                 .y_stride = n,
                                 .m = m,
                                 .n = n,
                                 .k = k,
                                 .accumulate = true};
      TileModel unit;
      pair_product_tiles(unit, args);
      PairProductArgs plain = args;
      plain.y = expected.data();
      select_train_kernels(0).pair_product(plain);
      EXPECT_EQ(y, expected) << m << " x " << n << " x " << k;
    }
  }
}

TEST(TileModel, IntegersAreExact) {
  if (!(cpu_features() & kCpuAvx512)) GTEST_SKIP() << "skipped: no avx512";
  std::mt19937 rng(2);
  std::uniform_int_distribution<int> small(-8, 8);
  for (const Shape& s : {Shape{1, 33, 2100, 1}, {37, 40, 96, 0}, {50, 17, 1030, 3}}) {
    const auto [x, w] = operands(s, [&] { return static_cast<float>(small(rng)); });
    EXPECT_EQ(run_on_model(s, x, w, 0, s.m, 0, s.n), run_ref(s, x, w));
  }
}

TEST(TileModel, RowsDoNotDependOnTheBatch) {
  if (!(cpu_features() & kCpuAvx512)) GTEST_SKIP() << "skipped: no avx512";
  std::mt19937 rng(3);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const Shape s{39, 45, 1090, 1};
  const auto [x, w] = operands(s, [&] { return uniform(rng); });
  const std::vector<float> whole = run_on_model(s, x, w, 0, s.m, 0, s.n);
  for (const auto& [i, m, j, n] : {std::array<size_t, 4>{0, 1, 0, 45},
                                   {17, 1, 3, 40},
                                   {38, 1, 44, 1},
                                   {5, 20, 10, 17},
                                   {1, 33, 7, 33}}) {
    const std::vector<float> part = run_on_model(s, x, w, i, m, j, n);
    for (size_t r = i; r < i + m; ++r) {
      EXPECT_EQ(std::memcmp(&part[r * s.n + j], &whole[r * s.n + j], n * sizeof(float)), 0)
          << "row " << r << " of " << m << " rows from " << i;
    }
  }
}

// Bytes of a product of tiles of the given shape, by either unit.
template <class OfA, class OfB, class Unit>
std::vector<uint8_t> int8_product(Unit unit, const TileConfig& config, const uint8_t* a,
                                  const uint8_t* b, std::vector<uint8_t> c) {
  unit.configure(&config);
  unit.template load<0>(c.data(), 64);
  unit.template load<1>(a, 64);
  unit.template load<2>(b, 64);
  if constexpr (std::is_unsigned_v<OfA>) {
    unit.template dot_u8_s8<0, 1, 2>();
  } else if constexpr (std::is_unsigned_v<OfB>) {
    unit.template dot_s8_u8<0, 1, 2>();
  } else {
    unit.template dot_s8_s8<0, 1, 2>();
  }
  unit.template store<0>(c.data(), 64);
  unit.release();
  return c;
}

template <class OfA, class OfB>
void expect_matrix_product() {
  std::mt19937 rng(4);
  for (const auto& [rows, cols, depth] :
       {std::array<size_t, 3>{16, 16, 16}, {1, 1, 1}, {5, 7, 3}, {16, 2, 9}}) {
    TileConfig config;
    config.rows[0] = config.rows[1] = static_cast<uint8_t>(rows);
    config.rows[2] = static_cast<uint8_t>(depth);
    config.row_bytes[0] = config.row_bytes[2] = static_cast<uint16_t>(4 * cols);
    config.row_bytes[1] = static_cast<uint16_t>(4 * depth);
    std::vector<uint8_t> a(1024), b(1024), c(1024);
    for (auto* tile : {&a, &b, &c}) {
      for (uint8_t& v : *tile) v = static_cast<uint8_t>(rng());
    }
    std::vector<uint8_t> expected = c;
    for (size_t m = 0; m < rows; ++m) {
      for (size_t n = 0; n < cols; ++n) {
        int32_t sum;
        std::memcpy(&sum, &c[m * 64 + n * 4], sizeof(sum));
        int64_t wide = sum;
        for (size_t k = 0; k < 4 * depth; ++k) {
          wide += static_cast<OfA>(a[m * 64 + k]) * static_cast<OfB>(b[k / 4 * 64 + n * 4 + k % 4]);
        }
        const auto wrapped = static_cast<uint32_t>(wide);
        std::memcpy(&expected[m * 64 + n * 4], &wrapped, sizeof(wrapped));
      }
    }
    EXPECT_EQ((int8_product<OfA, OfB>(TileModel(), config, a.data(), b.data(), c)), expected);
    if (cpu_features() & kCpuAmxInt8) {
      EXPECT_EQ((int8_product<OfA, OfB>(TileUnit(), config, a.data(), b.data(), c)), expected);
    }
  }
}

TEST(TileModel, Int8ProductIsAMatrixProduct) {
  expect_matrix_product<int8_t, int8_t>();
  expect_matrix_product<int8_t, uint8_t>();
  expect_matrix_product<uint8_t, int8_t>();
}

TEST(TileModel, AgreesWithTheHardware) {
  if (!(cpu_features() & kCpuAmxBf16)) GTEST_SKIP() << "skipped: no amx_bf16";
  std::mt19937 rng(5);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const Shape s{35, 50, 1100, 1};
  const auto [x, w] = operands(s, [&] { return uniform(rng); });
  const std::vector<float> model = run_on_model(s, x, w, 0, s.m, 0, s.n);
  std::vector<float> y(s.m * s.n);
  TileUnit unit;
  matmul_nt_tiles(unit, {x.at(0), s.k + s.gap, w.at(0), s.k + s.gap, y.data(), s.n, s.m, s.n, s.k});
  const double bound = static_cast<double>(s.k) * kUnitRoundoff * static_cast<double>(s.k);
  expect_close(
      y, model, [&](size_t) { return bound; }, "hardware against model");
}

TEST(TileModelDeathTest, FaultsOnWrongUse) {
  TileModel unit;
  EXPECT_DEATH(unit.zero<0>(), "configured_");
  TileConfig config;
  config.rows[3] = 17;
  EXPECT_DEATH(unit.configure(&config), "rows");
  config = TileConfig();
  config.rows[1] = 8;
  unit.configure(&config);
  EXPECT_DEATH((unit.dot_bf16<0, 1, 2>()), "row_bytes");
}

}  // namespace
}  // namespace axk1

#pragma GCC diagnostic pop
#endif
