#include "base/bf16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

namespace axk1 {
namespace {

TEST(Bf16, RoundsToNearestEven) {
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // tie, even below
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);  // tie, even above
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(f32_to_bf16(3.4028235e38f), 0x7f80);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = bf16_to_f32(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(f32_to_bf16(value), bits);
  }
}

#ifdef __FLT16_MAX__
// Against the compiler's own binary16: all 65,536 values, and around every rounding boundary.
TEST(F16, AgreesWithTheCompiler) {
  uint64_t cases = 0;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    const float expected = static_cast<float>(std::bit_cast<_Float16>(static_cast<uint16_t>(bits)));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value)))) << bits;
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(expected)) << bits;
    const uint32_t at = std::bit_cast<uint32_t>(value);
    for (uint32_t low : {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x1fffu, 0x5a5u}) {
      const float near = std::bit_cast<float>(at + low);
      if (std::isnan(near)) continue;
      ASSERT_EQ(f32_to_f16(near), std::bit_cast<uint16_t>(static_cast<_Float16>(near))) << near;
      ++cases;
    }
  }
  for (uint32_t bits = 0; bits < 0xff800000u; bits += 9973) {
    const float value = std::bit_cast<float>(bits);
    if (std::isnan(value)) continue;
    ASSERT_EQ(f32_to_f16(value), std::bit_cast<uint16_t>(static_cast<_Float16>(value))) << value;
    ++cases;
  }
  std::printf("[ cases ] f16 conversions: %llu\n", static_cast<unsigned long long>(cases));
}
#endif

}  // namespace
}  // namespace axk1
