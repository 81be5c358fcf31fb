// 64 multiply-adds of 8-bit integers in an instruction.
#include <immintrin.h>

#include <cstddef>

#include "kernels/peak_kernels.h"

namespace axk1 {
namespace {

constexpr size_t kChains = 12;  // independent sums: more than latency times instructions a cycle
constexpr size_t kRounds = 10000;

void run() {
  __m512i acc[kChains];
  const auto operand = _mm512_set1_epi8(1);
#pragma GCC unroll 12
  for (auto& a : acc) a = _mm512_setzero_si512();
  for (size_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (size_t i = 0; i < kChains; ++i) {
      acc[i] = _mm512_dpbusd_epi32(acc[i], operand, operand);
      __asm__ volatile("" : "+v"(acc[i]));  // keeps every step
    }
  }
}

}  // namespace

extern constinit const PeakKernel kPeakAvx512Vnni;
constinit const PeakKernel kPeakAvx512Vnni = {
    .name = "vpdpbusd zmm",
    .needs = kCpuAvx512 | kCpuAvx512Vnni,
    .peak = Peak::kDotInt8,
    .ops_per_call = 128.0 * kChains * kRounds,
    .run = run,
};

}  // namespace axk1
