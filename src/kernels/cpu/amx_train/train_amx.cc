// Training with products of pairs on AMX tiles, the rest in AVX-512. tdpbf16ps sums the products of
// even and of odd steps apart, 16 pairs at a time, and takes denormal operands and results as zero.
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

#include "kernels/cpu/amx/tile_config.inl"
#include "kernels/cpu/amx/tile_unit.inl"
#include "kernels/cpu/amx/transpose.inl"
// Needs the above.
#include "kernels/cpu/amx_train/pair_tiles.inl"

void pair_product(const PairProductArgs& args) {
  TileUnit unit;
  pair_product_tiles(unit, args);
}

}  // namespace

extern constinit const TrainKernels kAmxTrainKernels;
constinit const TrainKernels kAmxTrainKernels = {
    .name = "amx",
    .needs = kCpuAvx2 | kCpuAvx512 | kCpuAmxBf16,
    .pair_product = pair_product,
    .pack_pairs = pack_pairs,
    .sum_squares = sum_squares,
    .rms_norm_grad = rms_norm_grad,
    .swiglu_grad = swiglu_grad,
    .softmax_grad = softmax_grad,
};

}  // namespace axk1
