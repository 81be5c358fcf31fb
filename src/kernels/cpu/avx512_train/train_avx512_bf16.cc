// Training with AVX-512 and vdpbf16ps (AVX512-BF16): a lane of the sum adds the product of the odd
// step, then that of the even one, rounding after each and taking denormals as zero (Intel SDM
// volume 2, VDPBF16PS).
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/train_kernels.h"

namespace axk1 {
namespace {

#include "kernels/cpu/avx512/vec.inl"
#include "kernels/cpu/avx512/words.inl"
#include "kernels/cpu/simd/exp.inl"
// Needs the above.
#include "kernels/cpu/simd/train_rows.inl"
// Needs the above.
#include "kernels/cpu/avx512/pack_pairs.inl"

// kRows x kVecs sums in registers; the last vector of a row has `tail` columns if not 0.
template <size_t kRows, size_t kVecs>
void pair_tile(const PairProductArgs& args, size_t i, size_t tail) {
  const uint32_t* a[kRows];
  Vec acc[kRows][kVecs];
#pragma GCC unroll 12
  for (size_t r = 0; r < kRows; ++r) {
    a[r] = args.a + (i + r) * args.a_row_stride;
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) {
      const float* y = args.y + (i + r) * args.y_stride + v * kLanes;
      acc[r][v] = !args.accumulate ? zero() : v + 1 == kVecs && tail ? load(y, tail) : load(y);
    }
  }
  const uint32_t* b = args.b;
  size_t at = 0;
  for (size_t p = 0; p < args.k; ++p, b += kPairPanel, at += args.a_step_stride) {
    Words bv[kVecs];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) bv[v] = load_words(b + v * kLanes);
#pragma GCC unroll 12
    for (size_t r = 0; r < kRows; ++r) {
      const Words av = broadcast_word(static_cast<int32_t>(a[r][at]));
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v) {
        acc[r][v] = _mm512_dpbf16_ps(acc[r][v], reinterpret_cast<__m512bh>(av),
                                     reinterpret_cast<__m512bh>(bv[v]));
      }
    }
  }
#pragma GCC unroll 12
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) {
      float* y = args.y + (i + r) * args.y_stride + v * kLanes;
      if (v + 1 == kVecs && tail) {
        store(y, acc[r][v], tail);
      } else {
        store(y, acc[r][v]);
      }
    }
  }
}

template <size_t kRows, size_t kVecs>
void pair_rows(const PairProductArgs& args, size_t tail) {
  size_t i = 0;
  for (; i + kRows <= args.m; i += kRows) pair_tile<kRows, kVecs>(args, i, tail);
  if constexpr (kRows > 6) {
    for (; i + 4 <= args.m; i += 4) pair_tile<4, kVecs>(args, i, tail);
  }
  for (; i + 2 <= args.m; i += 2) pair_tile<2, kVecs>(args, i, tail);
  if (i < args.m) pair_tile<1, kVecs>(args, i, tail);
}

// 24 sums beside the vectors of b and one of a.
void pair_product(const PairProductArgs& args) {
  const size_t tail = args.n % kLanes;
  switch ((args.n + kLanes - 1) / kLanes) {
    case 1:
      return pair_rows<12, 1>(args, tail);
    case 2:
      return pair_rows<12, 2>(args, tail);
    case 3:
      return pair_rows<8, 3>(args, tail);
    case 4:
      return pair_rows<6, 4>(args, tail);
    default:
      return;
  }
}

}  // namespace

extern constinit const TrainKernels kAvx512TrainKernels;
constinit const TrainKernels kAvx512TrainKernels = {
    .name = "avx512",
    .needs = kCpuAvx2 | kCpuAvx512 | kCpuAvx512Bf16,
    .pair_product = pair_product,
    .pack_pairs = pack_pairs,
    .sum_squares = sum_squares,
    .rms_norm_grad = rms_norm_grad,
    .swiglu_grad = swiglu_grad,
    .softmax_grad = softmax_grad,
};

}  // namespace axk1
