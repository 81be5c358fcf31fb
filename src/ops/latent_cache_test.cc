#include "ops/latent_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/registry.h"

namespace axk1 {
namespace {

struct Row {
  std::vector<char> bytes;
  Int8LatentHeader header;
};

Row write_int8(const LatentShape& shape, const std::vector<float>& x) {
  Row row{std::vector<char>(latent_row_bytes(CacheDType::kI8, shape), 0x55), {}};
  write_latent_row(select_kernels("", cpu_features()), CacheDType::kI8, shape, x.data(),
                   row.bytes.data());
  std::memcpy(&row.header, row.bytes.data(), sizeof(row.header));
  return row;
}

std::vector<float> read(CacheDType dtype, const LatentShape& shape, const void* row) {
  std::vector<float> x(shape.dim());
  read_latent_row(select_kernels("", cpu_features()), dtype, shape, row, x.data());
  return x;
}

TEST(LatentCache, RowSizes) {
  const LatentShape released{512, 64}, odd{33, 6};
  EXPECT_EQ(latent_row_bytes(CacheDType::kF32, released), 2304u);
  EXPECT_EQ(latent_row_bytes(CacheDType::kBF16, released), 1152u);
  EXPECT_EQ(latent_row_bytes(CacheDType::kI8, released), 592u);
  EXPECT_EQ(latent_row_bytes(CacheDType::kBF16, odd), 80u);
  EXPECT_EQ(latent_row_bytes(CacheDType::kI8, odd), 16u + 36u + 8u);
}

TEST(LatentCache, Int8IsWithinHalfAStepOfEachPart) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  size_t cases = 0;
  for (const LatentShape& shape : {LatentShape{512, 64}, {33, 6}, {7, 2}}) {
    for (float size : {0.0f, 1e-6f, 1.0f, 1e6f}) {
      std::vector<float> x(shape.dim());
      for (size_t i = 0; i < x.size(); ++i) x[i] = normal(rng) * (i < shape.lora ? size : 3 * size);
      const Row row = write_int8(shape, x);
      const std::vector<float> got = read(CacheDType::kI8, shape, row.bytes.data());
      int32_t sums[2] = {0, 0};
      for (size_t part : {0, 1}) {
        const size_t begin = part ? shape.lora : 0, end = part ? shape.dim() : shape.lora;
        const size_t at = sizeof(Int8LatentHeader) + (part ? (shape.lora + 3) / 4 * 4 : 0);
        float amax = 0;
        for (size_t i = begin; i < end; ++i) amax = std::max(amax, std::abs(x[i]));
        for (size_t i = begin; i < end; ++i) {
          EXPECT_LE(std::abs(double{got[i]} - x[i]), amax / 254.0 * 1.00001);
          sums[part] += static_cast<int8_t>(row.bytes[at + i - begin]);
        }
        for (size_t i = end - begin; i % 4; ++i) EXPECT_EQ(row.bytes[at + i], 0) << "padding";
      }
      EXPECT_EQ(row.header.lora_sum, sums[0]);
      EXPECT_EQ(row.header.rope_sum, sums[1]);
      ++cases;
    }
  }
  std::printf("[ cases ] int8 cache rows: %zu\n", cases);
}

TEST(LatentCache, Int8KeepsThePartThatIsFinite) {
  const LatentShape shape{8, 4};
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> x(shape.dim(), 1);
    x[2] = bad;
    const Row row = write_int8(shape, x);
    const std::vector<float> got = read(CacheDType::kI8, shape, row.bytes.data());
    EXPECT_TRUE(std::isnan(got[0]));
    EXPECT_EQ(got[8], 1);
  }
}

TEST(LatentCache, OtherTypesKeepTheirNumbers) {
  const KernelTable kernels = select_kernels("", cpu_features());
  const LatentShape shape{5, 2};
  const std::vector<float> x = {1, -2, 3.5f, 0, 100, 0.25f, -7};
  for (CacheDType dtype : {CacheDType::kF32, CacheDType::kBF16}) {
    std::vector<char> row(latent_row_bytes(dtype, shape), 0x55);
    write_latent_row(kernels, dtype, shape, x.data(), row.data());
    EXPECT_EQ(read(dtype, shape, row.data()), x) << cache_dtype_name(dtype);
    if (dtype == CacheDType::kBF16) {
      EXPECT_EQ(row[14], 0);
      EXPECT_EQ(row[15], 0);
    }
  }
}

}  // namespace
}  // namespace axk1
