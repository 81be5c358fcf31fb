// Products of bf16 by bf16 and with quantised weights on AMX tiles, the rest from cpu/avx512.
//
// tdpbf16ps rounds after each product and takes denormal inputs and results as zero: a sum over k
// is within k u sum|x w| + 2 k 2^-126 (1 + max|x| + max|w|) of the exact one, u = 2^-24.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

#include "kernels/cpu/amx/tile_config.inl"
#include "kernels/cpu/amx/tile_unit.inl"
#include "kernels/cpu/amx/transpose.inl"
// Needs the above.
#include "kernels/cpu/amx/matmul_tiles.inl"

#include "kernels/cpu/simd/panel.inl"
// Needs the above.
#include "kernels/cpu/simd/quant_vnni.inl"
// Needs the above.
#include "kernels/cpu/amx/expand_vbmi.inl"
// Needs the above.
#include "kernels/cpu/amx/quant_tiles.inl"

void matmul_nt(const MatmulArgs& a) {
  TileUnit unit;
  matmul_nt_tiles(unit, a);
}

// From here on the expansion of weights into tiles pays: vpdpbusd takes as long for 4 rows.
constexpr size_t kMinTileRows = 5;

template <class Type>
void matmul_q(const QuantMatmulArgs& a) {
  if (a.m < kMinTileRows) return matmul_few_rows<Type>(a);
  TileUnit unit;
  TileProduct<Type, TileUnit>(unit, a).run();
}

}  // namespace

extern constinit const KernelTable kAmxKernels;
constinit const KernelTable kAmxKernels = {
    .name = "amx",
    .needs = kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni | kCpuAvx512Vbmi | kCpuAmxBf16 | kCpuAmxInt8,
    .matmul_nt = {nullptr, nullptr, nullptr, matmul_nt},
    .matmul_q = {matmul_q<Q8>, matmul_q<Q4>, matmul_q<Q3>},
};

}  // namespace axk1
