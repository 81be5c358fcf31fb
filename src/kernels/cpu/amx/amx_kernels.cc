// Products of bf16 by bf16 on AMX tiles, the rest from cpu/avx512.
//
// tdpbf16ps rounds after each product and takes denormal inputs and results as zero: a sum over k
// is within k u sum|x w| + 2 k 2^-126 (1 + max|x| + max|w|) of the exact one, u = 2^-24.
#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace axk1 {
namespace {

#include "kernels/cpu/amx/tile_config.inl"
#include "kernels/cpu/amx/tile_unit.inl"
// Needs the above.
#include "kernels/cpu/amx/matmul_tiles.inl"

void matmul_nt(const MatmulArgs& a) {
  TileUnit unit;
  matmul_nt_tiles(unit, a);
}

}  // namespace

extern constinit const KernelTable kAmxKernels;
constinit const KernelTable kAmxKernels = {
    .name = "amx",
    .needs = kCpuAvx2 | kCpuAvx512 | kCpuAmxBf16,
    .by_name_only = true,  // tested on a model of the tile unit, not yet on the unit
    .matmul_nt = {nullptr, nullptr, nullptr, matmul_nt},
    .matmul_nn = {},
    .latent = {},
    .rms_norm = nullptr,
    .silu_mul = nullptr,
    .softmax_block = nullptr,
    .add = nullptr,
    .axpy = nullptr,
    .scale = nullptr,
    .f32_to_bf16 = nullptr,
    .bf16_to_f32 = nullptr,
    .f16_to_f32 = nullptr,
};

}  // namespace axk1
