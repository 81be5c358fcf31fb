// AVX-512 F, BW, DQ and VL. Products of bf16 by bf16 widen to floats here; machines with vdpbf16ps
// take them from cpu/avx512_bf16.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

#include "kernels/cpu/avx512/vec.inl"
#include "kernels/cpu/avx512/words.inl"

// 32 registers: 24 sums, 4 vectors of w, 1 of x.
constexpr size_t kMaxSums = 24;
constexpr size_t kTileRows = 6;
constexpr size_t kNnRows = 8, kNnVecs = 2, kNnVecs4 = 4, kNnVecs2 = 8;
constexpr size_t kMaxTileVecs = 4;

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
#include "kernels/cpu/simd/quantize_row.inl"

}  // namespace

extern constinit const KernelTable kAvx512Kernels;
constinit const KernelTable kAvx512Kernels = {
    .name = "avx512",
    .needs = kCpuAvx2 | kCpuAvx512,
    .matmul_nt = {matmul_nt<FmaDot<F32, F32>>, matmul_nt<FmaDot<F32, BF16>>,
                  matmul_nt<FmaDot<F32, F16>>, matmul_nt<FmaDot<BF16, BF16>>},
    .matmul_nn = {matmul_nn<F32>, matmul_nn<BF16>, matmul_nn<F16>, nullptr},
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
