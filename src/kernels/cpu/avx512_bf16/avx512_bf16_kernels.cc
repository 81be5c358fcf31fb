// Products of bf16 by bf16 with vdpbf16ps (AVX512-BF16), the rest from cpu/avx512.
//
// Each of its 16 lanes adds two exact products to a float, rounding to nearest after each and
// taking denormal inputs and results as zero (Intel SDM volume 2, VDPBF16PS). So with u = 2^-24 a
// sum over k is within (2 ceil(k / 32) + 4) u sum|x w| + 2 k 2^-126 (1 + max|x| + max|w|) of the
// exact one: two roundings a step, four in the tree over the lanes, two flushes a product.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace axk1 {
namespace {

#include "kernels/cpu/avx512/vec.inl"
#include "kernels/cpu/avx512/words.inl"

// 32 registers: 24 sums, 4 vectors of w, 1 of x.
constexpr size_t kMaxSums = 24;
constexpr size_t kTileRows = 6;
constexpr size_t kMaxTileVecs = 4;

struct BF16Dot {
  using XStorage = uint16_t;
  using WStorage = uint16_t;
  using X = __m512i;
  using W = __m512i;
  using Acc = Vec;
  static constexpr size_t kStep = 32;
  static constexpr size_t kBlockK = 1024;     // a multiple of kStep
  static constexpr bool kLoadsPairs = false;  // a vector is a line

  static __mmask32 first(size_t n) { return static_cast<__mmask32>((uint64_t{1} << n) - 1); }
  static __m512i load_x(const uint16_t* p) { return _mm512_loadu_si512(p); }
  static __m512i load_x(const uint16_t* p, size_t n) {
    return _mm512_maskz_loadu_epi16(first(n), p);
  }
  static __m512i load_w(const uint16_t* p) { return load_x(p); }
  static __m512i load_w(const uint16_t* p, size_t n) { return load_x(p, n); }
  static Vec zero() { return _mm512_setzero_ps(); }
  static Vec mul_add(Vec acc, __m512i x, __m512i w) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w));
  }
  static Sums sums(Vec a, Vec b, Vec c, Vec d) { return sums_of(a, b, c, d); }

  using Wide = BF16Dot;
};

#include "kernels/cpu/simd/exp.inl"
#include "kernels/cpu/simd/matmul_nt.inl"
// Needs the above.
#include "kernels/cpu/simd/latent.inl"
// Needs the above.
#include "kernels/cpu/simd/latent_bf16.inl"

struct LatentBF16Dot {
  using Acc = Vec;
  static Vec zero() { return BF16Dot::zero(); }
  // Assembly, because g++ 12 broadcasts the word by an instruction of its own.
  static Vec mul_add(Vec acc, Words rows, const char* cell) {
    asm("vdpbf16ps %2%{1to16%}, %1, %0"
        : "+v"(acc)
        : "v"(rows), "m"(*reinterpret_cast<const int32_t*>(cell)));
    return acc;
  }
};

}  // namespace

extern constinit const KernelTable kAvx512Bf16Kernels;
constinit const KernelTable kAvx512Bf16Kernels = {
    .name = "avx512",
    .needs = kCpuAvx2 | kCpuAvx512 | kCpuAvx512Bf16,
    .matmul_nt = {nullptr, nullptr, nullptr, matmul_nt<BF16Dot>},
    .latent = {{0.55f, latent_load_bf16, latent_attend_bf16<LatentBF16Dot>, latent_store_bf16}, {}},
};

}  // namespace axk1
