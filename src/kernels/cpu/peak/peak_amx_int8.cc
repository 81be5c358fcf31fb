// 16 x 16 x 64 multiply-adds of 8-bit integers in an instruction.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/peak_kernels.h"

namespace axk1 {
namespace {

constexpr size_t kRounds = 1000;

// Palette 1: eight tiles of 16 rows of 64 bytes (Intel SDM volume 1, section 18.2).
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

void run() {
  const TileConfig config;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (size_t round = 0; round < kRounds; ++round) {  // four sums, as a 2 x 2 block has
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
}

}  // namespace

extern constinit const PeakKernel kPeakAmxInt8;
constinit const PeakKernel kPeakAmxInt8 = {
    .name = "tdpbssd",
    .needs = kCpuAmxInt8,
    .peak = Peak::kAmxInt8,
    .ops_per_call = 2.0 * 16 * 16 * 64 * 4 * kRounds,
    .run = run,
};

}  // namespace axk1
