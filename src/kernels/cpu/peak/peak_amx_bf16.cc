// 16 x 16 x 32 multiply-adds of bf16 in an instruction, and a tile loaded from L1 for each, as a
// product of two tiles by two needs them: a processor that is held back, as hosts do, may still do
// the instruction alone at full speed.
#include <cstddef>
#include <cstdint>

#include "kernels/peak_kernels.h"

namespace axk1 {
namespace {

constexpr size_t kRounds = 1000;

#include "kernels/cpu/amx/tile_config.inl"
#include "kernels/cpu/amx/tile_unit.inl"

void run() {
  alignas(64) char tiles[4][kTileRows][kRowBytes] = {};
  const TileConfig config;
  TileUnit::configure(&config);
  TileUnit::zero<0>();
  TileUnit::zero<1>();
  TileUnit::zero<2>();
  TileUnit::zero<3>();
  for (size_t round = 0; round < kRounds; ++round) {  // four sums, as a 2 x 2 block has
    TileUnit::load<4>(tiles[0], kRowBytes);
    TileUnit::load<6>(tiles[1], kRowBytes);
    TileUnit::dot_bf16<0, 4, 6>();
    TileUnit::load<7>(tiles[2], kRowBytes);
    TileUnit::dot_bf16<1, 4, 7>();
    TileUnit::load<5>(tiles[3], kRowBytes);
    TileUnit::dot_bf16<2, 5, 6>();
    TileUnit::dot_bf16<3, 5, 7>();
  }
  TileUnit::release();
}

}  // namespace

extern constinit const PeakKernel kPeakAmxBf16;
constinit const PeakKernel kPeakAmxBf16 = {
    .name = "tdpbf16ps",
    .needs = kCpuAmxBf16,
    .peak = Peak::kAmxBF16,
    .ops_per_call = 2.0 * 16 * 16 * 32 * 4 * kRounds,
    .run = run,
};

}  // namespace axk1
