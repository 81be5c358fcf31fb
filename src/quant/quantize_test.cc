#include "quant/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "io/checksum.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

// Root of mean squared error over root of mean square, rows of normal values.
double relative_error(DType dtype, size_t rows, size_t cols) {
  Rng random(7);
  std::vector<float> x(rows * cols);
  for (float& v : x) {
    v = static_cast<float>(0.02 * random.normal());
  }
  std::vector<uint8_t> panel(panel_bytes(dtype, cols));
  quantize_panel(dtype, x.data(), rows, cols, {}, panel.data());
  double error = 0, power = 0;
  std::vector<float> y(cols);
  for (size_t r = 0; r < rows; ++r) {
    dequantize_row(dtype, panel.data(), cols, r, y.data());
    for (size_t c = 0; c < cols; ++c) {
      error += std::pow(x[r * cols + c] - y[c], 2);
      power += std::pow(x[r * cols + c], 2);
    }
  }
  return std::sqrt(error / power);
}

TEST(Quantize, ErrorOfNormalWeights) {
  EXPECT_LT(relative_error(DType::kQ8, 16, 1024), 0.008);
  EXPECT_LT(relative_error(DType::kQ4, 16, 1024), 0.076);
  EXPECT_LT(relative_error(DType::kQ3, 16, 1024), 0.172);
  for (size_t cols : {1u, 31u, 33u, 256u, 300u}) {
    EXPECT_LT(relative_error(DType::kQ4, 3, cols), 0.08) << cols;
  }
}

TEST(Quantize, ValuesOfTheFormatSurvive) {
  for (DType dtype : {DType::kQ8, DType::kQ4, DType::kQ3}) {
    const size_t cols = 320;
    Rng random(3);
    std::vector<float> x(kPanelRows * cols);
    std::vector<uint8_t> panel(panel_bytes(dtype, cols)), again(panel.size());
    for (float& v : x) v = static_cast<float>(random.uniform() - 0.5);
    quantize_panel(dtype, x.data(), kPanelRows, cols, {}, panel.data());
    for (size_t r = 0; r < kPanelRows; ++r) {
      dequantize_row(dtype, panel.data(), cols, r, &x[r * cols]);
    }
    // Rounding what is already representable may move it by a rounding of d, no more.
    quantize_panel(dtype, x.data(), kPanelRows, cols, {}, again.data());
    double error = 0, power = 0;
    std::vector<float> y(cols);
    for (size_t r = 0; r < kPanelRows; ++r) {
      dequantize_row(dtype, again.data(), cols, r, y.data());
      for (size_t c = 0; c < cols; ++c) {
        error += std::pow(x[r * cols + c] - y[c], 2);
        power += std::pow(x[r * cols + c], 2);
      }
    }
    EXPECT_LT(std::sqrt(error / power), 0.02) << dtype_name(dtype);
  }
}

TEST(Quantize, ImportanceMovesTheErrorToColumnsThatMatterLess) {
  const size_t cols = 256;
  Rng random(5);
  std::vector<float> x(kPanelRows * cols), importance(cols, 1.0f), y(cols);
  for (float& v : x) v = static_cast<float>(random.uniform() - 0.5);
  for (size_t c = 0; c < cols; c += 4) importance[c] = 100;
  const auto error_of_important = [&](std::span<const float> weights) {
    std::vector<uint8_t> panel(panel_bytes(DType::kQ3, cols));
    quantize_panel(DType::kQ3, x.data(), kPanelRows, cols, weights, panel.data());
    double error = 0;
    for (size_t r = 0; r < kPanelRows; ++r) {
      dequantize_row(DType::kQ3, panel.data(), cols, r, y.data());
      for (size_t c = 0; c < cols; c += 4) error += std::pow(x[r * cols + c] - y[c], 2);
    }
    return error;
  };
  EXPECT_LT(error_of_important(importance), 0.9 * error_of_important({}));
}

TEST(Quantize, ZerosStayZeros) {
  std::vector<float> x(64, 0.0f), y(64, 1.0f);
  for (DType dtype : {DType::kQ8, DType::kQ4, DType::kQ3}) {
    std::vector<uint8_t> panel(panel_bytes(dtype, 64));
    quantize_panel(dtype, x.data(), 1, 64, {}, panel.data());
    dequantize_row(dtype, panel.data(), 64, 0, y.data());
    for (float v : y) EXPECT_EQ(v, 0) << dtype_name(dtype);
  }
}

// The bits of a plain search, row by row, taken down before it was made to search four rows at
// once: files made earlier and later are the same. Whoever means to change them raises the version
// in convert.cc too.
TEST(Quantize, BitsOfThePlainSearch) {
  const std::pair<DType, const char*> cases[] = {{DType::kQ8, "bc4ed86255545d6a"},
                                                 {DType::kQ4, "aaf25f942ab5ceb9"},
                                                 {DType::kQ3, "95f51c1972dc0b9d"}};
  for (const auto& [dtype, expected] : cases) {
    Rng random(5);
    constexpr size_t kRows = 13, kCols = 812;
    std::vector<float> x(kRows * kCols), importance(kCols);
    for (float& v : x) v = static_cast<float>(0.02 * random.normal());
    for (float& v : importance) v = static_cast<float>(random.uniform());
    std::vector<uint8_t> panel(panel_bytes(dtype, kCols));
    quantize_panel(dtype, x.data(), kRows, kCols, importance, panel.data());
    EXPECT_EQ(checksum_text(checksum64(std::as_bytes(std::span(panel)))), expected)
        << dtype_name(dtype);
  }
}

}  // namespace
}  // namespace axk1
