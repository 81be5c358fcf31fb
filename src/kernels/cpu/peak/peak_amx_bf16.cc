// 16 x 16 x 32 multiply-adds of bf16 in an instruction.
#include <cstddef>
#include <cstdint>

#include "kernels/peak_kernels.h"

namespace axk1 {
namespace {

constexpr size_t kRounds = 1000;

#include "kernels/cpu/amx/tile_config.inl"
#include "kernels/cpu/amx/tile_unit.inl"

void run() {
  const TileConfig config;
  TileUnit::configure(&config);
  TileUnit::zero<0>();
  TileUnit::zero<1>();
  TileUnit::zero<2>();
  TileUnit::zero<3>();
  TileUnit::zero<4>();
  TileUnit::zero<5>();
  TileUnit::zero<6>();
  TileUnit::zero<7>();
  for (size_t round = 0; round < kRounds; ++round) {  // four sums, as a 2 x 2 block has
    TileUnit::dot_bf16<0, 4, 6>();
    TileUnit::dot_bf16<1, 4, 7>();
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
