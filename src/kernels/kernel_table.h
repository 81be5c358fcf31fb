// The kernels of one instruction set, as data: function pointers, a name, and the CPU features they
// need. A null entry falls through to the next table; the plain C++ table `ref` is last and whole.
//
// Every kernel is single-threaded, allocates nothing and trusts its caller (src/ops checks shapes).
//
// Row invariance: y[i, j] of a matrix product depends, to the last bit, only on row i of x, column
// j and k; never on m, n, or where the row stands in its block. So a token gets the same result
// alone, in a batch, in any chunk and on any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/latent_kernels.h"
#include "tensor/dtype.h"

namespace axk1 {

// Bits of a mask.
enum CpuFeature : uint32_t {
  kCpuAvx2 = 1u << 0,        // AVX2, FMA and F16C
  kCpuAvx512 = 1u << 1,      // AVX-512 F, BW, DQ, VL
  kCpuAvx512Bf16 = 1u << 2,  // vdpbf16ps
  kCpuAvx512Vnni = 1u << 3,  // vpdpbusd on 512 bits
  kCpuAvx512Vbmi = 1u << 4,  // vpermb
  kCpuAmxBf16 = 1u << 5,     // tiles and tdpbf16ps, granted by the kernel
  kCpuAmxInt8 = 1u << 6,     // tiles and tdpbssd, tdpbsud, tdpbusd, granted by the kernel
};

struct MatmulArgs {
  const void* x;    // [m, k], row-major
  size_t x_stride;  // elements from one row to the next
  const void* w;    // nt: [n, k]; nn: [k, n]
  size_t w_stride;
  float* y;  // [m, n]
  size_t y_stride;
  size_t m, n, k;
};
using MatmulKernel = void (*)(const MatmulArgs&);

// Types of x and w of a product.
enum class MatmulTypes : uint8_t { kF32F32, kF32BF16, kF32F16, kBF16BF16 };
inline constexpr size_t kNumMatmulTypes = 4;

// y = x wᵀ for quantised w, on integers within a block of columns (tensor/packed.h):
//   y[i, j] = the sum over blocks, in their order, of fma(float(I), d_x[i] * d_w[j], sum so far)
// where I is the exact product of the block's integers, below 2^23. So every table gives the same
// bits. Against the product with x not rounded it is off by at most
//   sum over blocks of d_x / 2 * sum|w|   plus f32 rounding, 2 (blocks + 1) 2^-24 sum|x w|.
struct QuantMatmulArgs {
  const void* x;    // [m] rows as quantize_row writes them
  size_t x_stride;  // bytes
  const void* w;    // [n, k], from the first row of a panel
  float* y;         // [m, n]
  size_t y_stride;  // elements
  size_t m, n, k;
};
using QuantMatmulKernel = void (*)(const QuantMatmulArgs&);
enum class QuantType : uint8_t { kQ8, kQ4, kQ3 };
inline constexpr size_t kNumQuantTypes = 3;

// The cache types that have such kernels; attention to a cache of f32 is made of matrix products.
enum class LatentTypes : uint8_t { kBF16, kI8 };
inline constexpr size_t kNumLatentTypes = 2;

struct KernelTable {
  // What --kernels= takes. The table of an extension bears the name of its instruction set.
  const char* name;
  uint32_t needs;  // CpuFeature bits, all of which the machine must have

  // y = x wᵀ with f32 accumulation, indexed by MatmulTypes. Checkpoint weights are [out, in], so
  // this is the product of every projection.
  MatmulKernel matmul_nt[kNumMatmulTypes];

  // y += x w, x f32; the k products are added one row of w after the other. Indexed by
  // MatmulTypes; kBF16BF16 is null in every table.
  MatmulKernel matmul_nn[kNumMatmulTypes];

  // Indexed by QuantType.
  QuantMatmulKernel matmul_q[kNumQuantTypes];

  // Rounds x [n] to 8 bits, activation_row_bytes(n) at y, 64-byte aligned: q = round(x * (127 /
  // m)), ties to even, with m = max|x| of the block.
  void (*quantize_row)(const float* x, void* y, size_t n);

  // Attention over latents in bf16 and in int8, indexed by LatentTypes.
  LatentKernels latent[kNumLatentTypes];

  // y = x / sqrt(mean(x²) + eps) * weight, all [n]. y may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, float* y, size_t n);

  // y = gate / (1 + exp(-gate)) * up, all [n]. y may be gate or up.
  void (*silu_mul)(const float* gate, const float* up, float* y, size_t n);

  // One step of an online softmax (Milakov and Gimelshein 2018, algorithm 3) over one block of
  // scores. With m = max(*running_max, scale * max(scores)), or 0 where that is -infinity:
  //   scores[i] = exp(scale * scores[i] - m)
  //   *running_sum = *running_sum * exp(*running_max - m) + sum(scores);  *running_max = m
  // (*running_max stays -infinity if all is) and returns exp(old running_max - m), by which the
  // caller scales what it has accumulated. Start with *running_max = -infinity, *running_sum = 0.
  // Needs n >= 1 and scale > 0. A score of -infinity gives 0, also when all that was seen so far is
  // -infinity. Scores of -infinity at the end change no bit of the rest, nor does what follows the
  // n scores.
  float (*softmax_block)(float* scores, size_t n, float scale, float* running_max,
                         float* running_sum);

  void (*add)(const float* x, float* y, size_t n);             // y += x
  void (*axpy)(float a, const float* x, float* y, size_t n);   // y += a x
  void (*scale)(float a, float* y, size_t n);                  // y *= a
  void (*f32_to_bf16)(const float* x, uint16_t* y, size_t n);  // nearest, ties to even
  void (*bf16_to_f32)(const uint16_t* x, float* y, size_t n);
  void (*f16_to_f32)(const uint16_t* x, float* y, size_t n);
};

}  // namespace axk1
