// What the tests of kernels share: every table of the build as a test parameter, matrices with
// poisoned gaps between their rows, and comparison with a bound that names the worst element.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/bf16.h"
#include "kernels/registry.h"

namespace axk1::testing {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr double kUnitRoundoff = 0x1p-24;  // of f32, to nearest

inline const KernelTable& reference() {
  return *all_kernel_tables().back();
}

// One table as it is, holes left out; skipped by name where the machine lacks its instructions.
class KernelTest : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  void SetUp() override {
    const uint32_t missing = table().needs & ~cpu_features();
    if (missing) GTEST_SKIP() << "skipped: no " << cpu_feature_names(missing);
  }
  void TearDown() override {
    if (cases_ == 0) return;
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    std::printf("[ cases ] %s.%s: %zu\n", info->test_suite_name(), info->name(), cases_);
  }
  const KernelTable& table() const { return *GetParam(); }
  void count_case() { ++cases_; }

 private:
  size_t cases_ = 0;
};

// "avx2", "avx2_avx512_avx512_bf16": features tell tables of one name apart, and a number tells
// apart those that need the same.
inline std::string kernel_test_name(const ::testing::TestParamInfo<const KernelTable*>& info) {
  std::string name = cpu_feature_names(info.param->needs);
  for (char& c : name) c = c == ' ' ? '_' : c;
  int number = 1;
  for (const KernelTable* table : all_kernel_tables()) {
    if (table == info.param) break;
    number += table->needs == info.param->needs;
  }
  if (number > 1) name += "_" + std::to_string(number);
  return name.empty() ? info.param->name : name;
}

// The tables for which has(table) holds.
template <class Has>
std::vector<const KernelTable*> tables_with(Has&& has) {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : all_kernel_tables()) {
    if (has(*table)) tables.push_back(table);
  }
  return tables;
}

// Elements of one type in exactly the memory they need, so that sanitizers see any read past it.
class Elements {
 public:
  Elements(DType dtype, std::vector<float> values) : dtype_(dtype), values_(std::move(values)) {
    if (dtype == DType::kF32) return;
    for (float& value : values_) {
      bits_.push_back(dtype == DType::kBF16 ? f32_to_bf16(value) : f32_to_f16(value));
      value = dtype == DType::kBF16 ? bf16_to_f32(bits_.back()) : f16_to_f32(bits_.back());
    }
  }
  const void* at(size_t i) const {
    if (dtype_ == DType::kF32) return values_.data() + i;
    return bits_.data() + i;
  }
  float value(size_t i) const { return values_[i]; }

 private:
  DType dtype_;
  std::vector<float> values_;  // what the stored elements mean
  std::vector<uint16_t> bits_;
};

// rows x cols values, `stride` apart, NaN between the rows and nothing after the last.
template <class Value>
std::vector<float> matrix(size_t rows, size_t cols, size_t stride, Value&& value) {
  std::vector<float> out(rows == 0 ? 0 : (rows - 1) * stride + cols, kNan);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) out[i * stride + j] = value();
  }
  return out;
}

inline std::vector<float> random_row(std::mt19937& rng, size_t n, float low, float high) {
  std::uniform_real_distribution<float> value(low, high);
  return matrix(1, n, n, [&] { return value(rng); });
}

inline bool same_kind(float a, float b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return true;
}

// Fails unless NaN and infinity agree and |actual[i] - expected[i]| <= bound(i); names the element
// with the largest share of its bound.
template <class Bound>
void expect_close(const std::vector<float>& actual, const std::vector<float>& expected,
                  Bound&& bound, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double worst = 0;
  size_t worst_idx = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!same_kind(actual[i], expected[i])) {
      ADD_FAILURE() << what << ": [" << i << "] is " << actual[i] << ", expected " << expected[i];
      return;
    }
    if (!std::isfinite(expected[i])) continue;
    const double error = std::abs(double{actual[i]} - expected[i]);
    const double share = error == 0 ? 0 : error / bound(i);
    if (!(share <= worst)) worst = share, worst_idx = i;
  }
  EXPECT_LE(worst, 1) << what << ": worst at [" << worst_idx << "], is " << actual[worst_idx]
                      << ", expected " << expected[worst_idx] << " within " << bound(worst_idx);
}

}  // namespace axk1::testing
