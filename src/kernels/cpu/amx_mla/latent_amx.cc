// Attention over latents on AMX tiles, the rest from cpu/avx512.
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
#include "kernels/cpu/simd/latent_bf16.inl"
#include "kernels/cpu/simd/latent_int8.inl"

#include "kernels/cpu/amx/tile_config.inl"
#include "kernels/cpu/amx/tile_unit.inl"
#include "kernels/cpu/amx/transpose.inl"
// Needs the above.
#include "kernels/cpu/amx_mla/latent_tiles.inl"

}  // namespace

extern constinit const KernelTable kAmxLatentKernels;
constinit const KernelTable kAmxLatentKernels = {
    .name = "amx",
    .needs = kCpuAvx2 | kCpuAvx512 | kCpuAmxBf16 | kCpuAmxInt8,
    .latent = {{0.07f, latent_load_bf16_tiles, latent_attend_bf16_tiles<TileUnit>,
                latent_store_bf16_tiles},
               {0.06f, latent_load_int8_tiles, latent_attend_int8_tiles<TileUnit>,
                latent_store_int8_tiles}},
};

}  // namespace axk1
