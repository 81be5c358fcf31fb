// 16 x 16 x 64 multiply-adds of 8-bit integers in an instruction.
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
    TileUnit::dot_s8_u8<0, 4, 6>();
    TileUnit::dot_s8_u8<1, 4, 7>();
    TileUnit::dot_s8_u8<2, 5, 6>();
    TileUnit::dot_s8_u8<3, 5, 7>();
  }
  TileUnit::release();
}

}  // namespace

extern constinit const PeakKernel kPeakAmxInt8;
constinit const PeakKernel kPeakAmxInt8 = {
    .name = "tdpbsud",
    .needs = kCpuAmxInt8,
    .peak = Peak::kAmxInt8,
    .ops_per_call = 2.0 * 16 * 16 * 64 * 4 * kRounds,
    .run = run,
};

}  // namespace axk1
