// 8 fused multiply-adds of floats in an instruction.
#include <immintrin.h>

#include <cstddef>

#include "kernels/peak_kernels.h"

namespace axk1 {
namespace {

constexpr size_t kChains = 12;  // independent sums: more than latency times instructions a cycle
constexpr size_t kRounds = 10000;

void run() {
  __m256 acc[kChains];
  const auto operand = _mm256_set1_ps(1e-9f);
#pragma GCC unroll 12
  for (auto& a : acc) a = _mm256_setzero_ps();
  for (size_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (size_t i = 0; i < kChains; ++i) {
      acc[i] = _mm256_fmadd_ps(operand, operand, acc[i]);
      __asm__ volatile("" : "+v"(acc[i]));  // keeps every step
    }
  }
}

}  // namespace

extern constinit const PeakKernel kPeakAvx2;
constinit const PeakKernel kPeakAvx2 = {
    .name = "vfmadd231ps ymm",
    .needs = kCpuAvx2,
    .peak = Peak::kFmaF32,
    .ops_per_call = 16.0 * kChains * kRounds,
    .run = run,
};

}  // namespace axk1
