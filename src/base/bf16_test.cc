#include "base/bf16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>

namespace axk1 {
namespace {

bool is_nan_f16(uint16_t bits) {
  return (bits & 0x7fff) > 0x7c00;
}
bool is_nan_bf16(uint16_t bits) {
  return (bits & 0x7fff) > 0x7f80;
}

// The value that the bits of a binary format stand for, from its definition.
double decode(uint16_t bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return fraction ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  }
  const double significand =
      (exponent == 0 ? 0.0 : 1.0) + std::ldexp(static_cast<double>(fraction), -fraction_bits);
  return sign * std::ldexp(significand, (exponent == 0 ? 1 : exponent) - bias);
}

TEST(Bf16, AllPatternsWidenToTheirValueAndComeBack) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = bf16_to_f32(bits);
    if (is_nan_bf16(bits)) {
      EXPECT_TRUE(std::isnan(value)) << i;
      EXPECT_TRUE(is_nan_bf16(f32_to_bf16(value))) << i;
      continue;
    }
    ASSERT_EQ(value, decode(bits, 8, 7)) << i;
    ASSERT_EQ(std::signbit(value), bits >> 15 != 0) << i;
    ASSERT_EQ(f32_to_bf16(value), bits) << i;
  }
  std::printf("[ cases ] bf16 patterns: 65536\n");
}

TEST(F16, AllPatternsWidenToTheirValueAndComeBack) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = f16_to_f32(bits);
    if (is_nan_f16(bits)) {
      EXPECT_TRUE(std::isnan(value)) << i;
      EXPECT_TRUE(is_nan_f16(f32_to_f16(value))) << i;
      continue;
    }
    ASSERT_EQ(value, decode(bits, 5, 10)) << i;
    ASSERT_EQ(std::signbit(value), bits >> 15 != 0) << i;
    ASSERT_EQ(f32_to_f16(value), bits) << i;
  }
  std::printf("[ cases ] f16 patterns: 65536\n");
}

// Between two neighbours of a format: below the middle goes down, above it goes up, the middle
// itself goes to the even one.
template <class Widen, class Narrow>
void check_rounding(uint16_t last_finite, double infinity_stands_for, Widen widen, Narrow narrow) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (uint32_t i = 0; i <= last_finite; ++i) {
    const auto low = static_cast<uint16_t>(i), high = static_cast<uint16_t>(i + 1);
    const double above = i == last_finite ? infinity_stands_for : widen(high);
    const auto middle = static_cast<float>((widen(low) + above) / 2);  // exact: one more bit
    const uint16_t even = low % 2 == 0 ? low : high;
    ASSERT_EQ(narrow(std::nextafter(middle, 0.0f)), low) << i;
    ASSERT_EQ(narrow(middle), even) << i;
    ASSERT_EQ(narrow(std::nextafter(middle, kInfinity)), high) << i;
    ASSERT_EQ(narrow(-middle), even | 0x8000) << i;
  }
}

TEST(Bf16, RoundsToNearestEven) {
  check_rounding(0x7f7f, 0x1p128, bf16_to_f32, f32_to_bf16);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::infinity()), 0x7f80);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x7f800001u)), 0x7fc0);  // not infinity
}

TEST(F16, RoundsToNearestEven) {
  check_rounding(0x7bff, 65536, f16_to_f32, f32_to_f16);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_EQ(f32_to_f16(1e30f), 0x7c00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_TRUE(is_nan_f16(f32_to_f16(std::bit_cast<float>(0x7f800001u))));
}

#ifdef __FLT16_MAX__
TEST(F16, AgreesWithTheCompiler) {
  std::mt19937 rng(1);
  for (int i = 0; i < 1000000; ++i) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(rng()));
    const auto expected = std::bit_cast<uint16_t>(static_cast<_Float16>(value));
    if (std::isnan(value)) {
      ASSERT_TRUE(is_nan_f16(f32_to_f16(value)));
    } else {
      ASSERT_EQ(f32_to_f16(value), expected) << value;
    }
  }
  std::printf("[ cases ] f16 against the compiler: 1000000\n");
}
#endif

}  // namespace
}  // namespace axk1
