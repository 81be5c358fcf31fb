// 16 fused multiply-adds of floats in an instruction.
#include <immintrin.h>

#include <cstddef>

#include "kernels/peak_kernels.h"

namespace axk1 {
namespace {

constexpr size_t kChains = 12;  // independent sums: more than latency times instructions a cycle
constexpr size_t kRounds = 10000;

void run() {
  __m512 acc[kChains];
  const auto operand = _mm512_set1_ps(1e-9f);
#pragma GCC unroll 12
  for (auto& a : acc) a = _mm512_setzero_ps();
  for (size_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (size_t i = 0; i < kChains; ++i) {
      acc[i] = _mm512_fmadd_ps(operand, operand, acc[i]);
      __asm__ volatile("" : "+v"(acc[i]));  // keeps every step
    }
  }
}

}  // namespace

extern constinit const PeakKernel kPeakAvx512;
constinit const PeakKernel kPeakAvx512 = {
    .name = "vfmadd231ps zmm",
    .needs = kCpuAvx512,
    .peak = Peak::kFmaF32,
    .ops_per_call = 32.0 * kChains * kRounds,
    .run = run,
};

}  // namespace axk1
