// AVX2 with FMA and F16C.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

#include "kernels/cpu/avx2/vec.inl"
#include "kernels/cpu/avx2/words.inl"

// 16 registers: 12 sums, 3 vectors of x, 1 of w.
constexpr size_t kMaxSums = 12;
constexpr size_t kTileRows = 3;
constexpr size_t kNnRows = 4, kNnVecs = 2, kNnVecs4 = 2, kNnVecs2 = 4;
constexpr size_t kMaxTileVecs = 2;

#include "kernels/cpu/simd/exp.inl"
// Needs the above.
#include "kernels/cpu/simd/elementwise.inl"
// Needs the above.
#include "kernels/cpu/simd/dot_fma.inl"
#include "kernels/cpu/simd/matmul_nn.inl"
#include "kernels/cpu/simd/matmul_nt.inl"
// Needs the vectors above.
#include "kernels/cpu/simd/latent.inl"
// Needs the above.
#include "kernels/cpu/simd/latent_bf16.inl"
#include "kernels/cpu/simd/latent_int8.inl"
#include "kernels/cpu/simd/latent_plain_dots.inl"

#include "kernels/cpu/simd/panel.inl"
// Needs the above.
#include "kernels/cpu/avx2/quant.inl"
#include "kernels/cpu/simd/quantize_row.inl"

}  // namespace

extern constinit const KernelTable kAvx2Kernels;
constinit const KernelTable kAvx2Kernels = {
    .name = "avx2",
    .needs = kCpuAvx2,
    .matmul_nt = {matmul_nt<FmaDot<F32, F32>>, matmul_nt<FmaDot<F32, BF16>>,
                  matmul_nt<FmaDot<F32, F16>>, matmul_nt<FmaDot<BF16, BF16>>},
    .matmul_nn = {matmul_nn<F32>, matmul_nn<BF16>, matmul_nn<F16>, nullptr},
    .matmul_q = {matmul_q<Q8>, matmul_q<Q4>, matmul_q<Q3>},
    .quantize_row = quantize_row,
    .latent = {{1.3f, latent_load_bf16, latent_attend_bf16<PlainBF16Dot>, latent_store_bf16},
               {0.9f, latent_load_int8, latent_attend_int8<PlainInt8Dot>, latent_store_int8}},
    .rms_norm = rms_norm,
    .silu_mul = silu_mul,
    .softmax_block = softmax_block,
    .add = add_to,
    .axpy = axpy,
    .scale = scale,
    .f32_to_bf16 = f32_to_bf16,
    .bf16_to_f32 = to_f32<BF16>,
    .f16_to_f32 = to_f32<F16>,
};

}  // namespace axk1
