// 32 multiply-adds of bf16 in an instruction.
#include <immintrin.h>

#include <cstddef>

#include "kernels/peak_kernels.h"

namespace axk1 {
namespace {

constexpr size_t kChains = 12;  // independent sums: more than latency times instructions a cycle
constexpr size_t kRounds = 10000;

void run() {
  __m512 acc[kChains];
  const auto operand = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80));
#pragma GCC unroll 12
  for (auto& a : acc) a = _mm512_setzero_ps();
  for (size_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (size_t i = 0; i < kChains; ++i) {
      acc[i] = _mm512_dpbf16_ps(acc[i], operand, operand);
      __asm__ volatile("" : "+v"(acc[i]));  // keeps every step
    }
  }
}

}  // namespace

extern constinit const PeakKernel kPeakAvx512Bf16;
constinit const PeakKernel kPeakAvx512Bf16 = {
    .name = "vdpbf16ps zmm",
    .needs = kCpuAvx512 | kCpuAvx512Bf16,
    .peak = Peak::kDotBF16,
    .ops_per_call = 64.0 * kChains * kRounds,
    .run = run,
};

}  // namespace axk1
