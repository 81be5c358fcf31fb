// Attention over int8 latents with vpdpbusd (AVX512-VNNI), the rest from cpu/avx512.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace axk1 {
namespace {

#include "kernels/cpu/avx512/vec.inl"
#include "kernels/cpu/avx512/words.inl"

constexpr size_t kMaxTileVecs = 4;

#include "kernels/cpu/simd/exp.inl"
// Needs the above.
#include "kernels/cpu/simd/latent.inl"
// Needs the above.
#include "kernels/cpu/simd/latent_int8.inl"

struct VnniDot {
  using Acc = Words;
  static Words zero() { return zero_words(); }
  // Assembly, because g++ 12 copies every sum before and after the builtin of this instruction, and
  // broadcasts the word by another one.
  static Words mul_add(Words acc, Words rows, const char* cell) {
    asm("vpdpbusd %2%{1to16%}, %1, %0"
        : "+v"(acc)
        : "v"(rows), "m"(*reinterpret_cast<const int32_t*>(cell)));
    return acc;
  }
};

}  // namespace

extern constinit const KernelTable kAvx512LatentKernels;
constinit const KernelTable kAvx512LatentKernels = {
    .name = "avx512",
    .needs = kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni,
    .latent = {{}, {0.3f, latent_load_int8, latent_attend_int8<VnniDot>, latent_store_int8}},
};

}  // namespace axk1
