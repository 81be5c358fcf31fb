// The AMX tile unit in plain C++, with the interface of the hardware unit (cpu/amx/tile_unit.inl):
// the programs that run on tiles are templates over the unit, so machines without one test them
// too. From the pseudocode of LDTILECFG, TILELOADD, TILESTORED, TDPBF16PS, TDPBSSD, TDPBSUD
// and TDPBUSD in
// the Intel SDM, volume 2. What the hardware answers with a fault is a failed check here.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace axk1 {

class TileModel {
 public:
  void configure(const void* config) {
    uint8_t bytes[64];
    std::memcpy(bytes, config, sizeof(bytes));
    AXK1_CHECK(bytes[0] == 1);                                   // palette
    for (size_t i = 1; i < 16; ++i) AXK1_CHECK(bytes[i] == 0);   // start row, reserved
    for (size_t i = 32; i < 48; ++i) AXK1_CHECK(bytes[i] == 0);  // there are 8 tiles
    for (size_t i = 56; i < 64; ++i) AXK1_CHECK(bytes[i] == 0);
    for (size_t t = 0; t < kNumTiles; ++t) {
      uint16_t row_bytes;
      std::memcpy(&row_bytes, bytes + 16 + 2 * t, sizeof(row_bytes));
      const uint8_t rows = bytes[48 + t];
      AXK1_CHECK(row_bytes <= kRowBytes && rows <= kRows && (row_bytes == 0) == (rows == 0));
      tiles_[t] = Tile{};
      tiles_[t].rows = rows;
      tiles_[t].row_bytes = row_bytes;
    }
    configured_ = true;
  }
  void release() { configured_ = false; }

  template <int kTile>
  void zero() {
    std::memset(tile(kTile).data, 0, sizeof(Tile::data));
  }
  // Bytes outside the configured shape become zero.
  template <int kTile>
  void load(const void* base, size_t stride_bytes) {
    Tile& t = tile(kTile);
    std::memset(t.data, 0, sizeof(t.data));
    for (size_t r = 0; r < t.rows; ++r) {
      std::memcpy(t.data[r], static_cast<const char*>(base) + r * stride_bytes, t.row_bytes);
    }
  }
  template <int kTile>
  void store(void* base, size_t stride_bytes) {
    const Tile& t = tile(kTile);
    for (size_t r = 0; r < t.rows; ++r) {
      std::memcpy(static_cast<char*>(base) + r * stride_bytes, t.data[r], t.row_bytes);
    }
  }

  // c[m, n] += sum over k of a[m, k] b[k, n], k in pairs of bf16: even and odd products are summed
  // apart, each by fused multiply-adds, denormals taken and left as zero.
  template <int kC, int kA, int kB>
  void dot_bf16() {
    Tile& c = tile(kC);
    const Tile &a = tile(kA), &b = tile(kB);
    check_product(c, a, b);
    for (size_t m = 0; m < c.rows; ++m) {
      for (size_t n = 0; n < c.row_bytes / 4u; ++n) {
        float sums[2] = {0, 0};
        for (size_t k = 0; k < a.row_bytes / 4u; ++k) {
          for (size_t half = 0; half < 2; ++half) {
            const float x = flushed(bf16(a, m, 2 * k + half));
            const float y = flushed(bf16(b, k, 2 * n + half));
            sums[half] = flushed(std::fma(x, y, sums[half]));
          }
        }
        float sum;
        std::memcpy(&sum, c.data[m] + 4 * n, sizeof(sum));
        sum = flushed(flushed(sum) + flushed(sums[0] + sums[1]));
        std::memcpy(c.data[m] + 4 * n, &sum, sizeof(sum));
      }
    }
  }

  // The same with fours of bytes, signed or not, into 32-bit integers that wrap.
  template <int kC, int kA, int kB>
  void dot_s8_s8() {
    dot_bytes<int8_t, int8_t>(kC, kA, kB);
  }
  template <int kC, int kA, int kB>
  void dot_s8_u8() {
    dot_bytes<int8_t, uint8_t>(kC, kA, kB);
  }
  template <int kC, int kA, int kB>
  void dot_u8_s8() {
    dot_bytes<uint8_t, int8_t>(kC, kA, kB);
  }

 private:
  static constexpr size_t kNumTiles = 8, kRows = 16, kRowBytes = 64;
  struct Tile {
    size_t rows = 0, row_bytes = 0;
    uint8_t data[kRows][kRowBytes] = {};
  };

  template <class OfA, class OfB>
  void dot_bytes(int sums, int of_a, int of_b) {
    Tile& c = tile(sums);
    const Tile &a = tile(of_a), &b = tile(of_b);
    check_product(c, a, b);
    for (size_t m = 0; m < c.rows; ++m) {
      for (size_t n = 0; n < c.row_bytes / 4u; ++n) {
        uint32_t sum;
        std::memcpy(&sum, c.data[m] + 4 * n, sizeof(sum));
        for (size_t k = 0; k < a.row_bytes / 4u; ++k) {
          for (size_t i = 0; i < 4; ++i) {
            const int x = static_cast<OfA>(a.data[m][4 * k + i]);
            const int y = static_cast<OfB>(b.data[k][4 * n + i]);
            sum += static_cast<uint32_t>(x * y);
          }
        }
        std::memcpy(c.data[m] + 4 * n, &sum, sizeof(sum));
      }
    }
  }

  Tile& tile(int t) {
    AXK1_CHECK(configured_);
    return tiles_[t];
  }
  static void check_product(const Tile& c, const Tile& a, const Tile& b) {
    AXK1_CHECK(c.rows == a.rows && a.row_bytes == 4 * b.rows && c.row_bytes == b.row_bytes);
  }
  static float bf16(const Tile& t, size_t row, size_t i) {
    uint16_t half;
    std::memcpy(&half, t.data[row] + 2 * i, sizeof(half));
    const uint32_t bits = uint32_t{half} << 16;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  static float flushed(float v) {
    return std::abs(v) < std::numeric_limits<float>::min() ? std::copysign(0.0f, v) : v;
  }

  Tile tiles_[kNumTiles];
  bool configured_ = false;
};

}  // namespace axk1
