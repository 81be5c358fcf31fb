// Products with quantised weights by vpdpbusd (AVX512-VNNI), with register tiles for many rows.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

#include "kernels/cpu/simd/panel.inl"
// Needs the above.
#include "kernels/cpu/simd/quant_vnni.inl"

constexpr size_t kTileRows = 12;     // of x, by two panels: 24 sums
constexpr size_t kMaxRows = 384;     // of x at once: their sums stay in L2
constexpr size_t kChunkBlocks = 32;  // 256 KiB of two panels

// What a tile works on.
struct TileArgs {
  const int8_t* x;  // first row, first column of the block
  size_t x_stride;  // bytes
  const int32_t* bias8;
  const float* d_x;
  const uint8_t* w[2];  // a block of two panels, expanded
  size_t quads;
  __m512 d_w[2];
  float* sums;  // [rows][2][16]
};

// sum += w x. In place: from the intrinsic, g++ 12 makes copies of the sums in each round of a loop
// that has as many of them as tile_rows, and spills them.
[[gnu::always_inline]] inline void add_product(__m512i& sum, __m512i w, __m512i x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
}

// The sums of one row of x and two panels, and those of the rows after it: as members, not as an
// array, g++ keeps all of them in registers.
template <size_t kRows>
struct TileSums {
  __m512i sum0, sum1;
  TileSums<kRows - 1> rest;

  [[gnu::always_inline]] void start(const int32_t* bias8, size_t stride) {
    sum0 = sum1 = _mm512_set1_epi32(*bias8);
    rest.start(bias8 + stride, stride);
  }
  [[gnu::always_inline]] void add(__m512i w0, __m512i w1, const int8_t* x, size_t stride) {
    const __m512i xv = broadcast_quad(x);
    add_product(sum0, w0, xv);
    add_product(sum1, w1, xv);
    rest.add(w0, w1, x + stride, stride);
  }
  [[gnu::always_inline]] void finish(const TileArgs& t, size_t row) const {
    float* sums = t.sums + row * 2 * kPanel;
    const float d_x = t.d_x[row * (t.x_stride / sizeof(float))];
    _mm512_store_ps(sums, add_scaled(_mm512_load_ps(sums), sum0, t.d_w[0], d_x));
    sums += kPanel;
    _mm512_store_ps(sums, add_scaled(_mm512_load_ps(sums), sum1, t.d_w[1], d_x));
    rest.finish(t, row + 1);
  }
};
template <>
struct TileSums<0> {
  void start(const int32_t*, size_t) {}
  void add(__m512i, __m512i, const int8_t*, size_t) {}
  void finish(const TileArgs&, size_t) const {}
};

// Rows of x times a block of two panels, added to t.sums.
template <size_t kRows>
void tile_rows(const TileArgs& t) {
  TileSums<kRows> sums;
  sums.start(t.bias8, t.x_stride / sizeof(int32_t));
  const int8_t* x = t.x;
  for (size_t at = 0; at < 64 * t.quads; at += 64, x += 4) {
    sums.add(load(t.w[0] + at), load(t.w[1] + at), x, t.x_stride);
  }
  sums.finish(t, 0);
}

template <size_t kRows>
void tile(size_t rows, const TileArgs& t) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return tile<kRows - 1>(rows, t);
  }
  tile_rows<kRows>(t);
}

// Many rows of x: two panels are expanded once, kChunkBlocks blocks of them at a time, and used
// from L2 for tile after tile, whose rows of x run on along k.
template <class Type>
void many_rows(const QuantMatmulArgs& a) {
  constexpr size_t kStoredBytes = Type::kScaleBytes + Type::kCodeBytes;
  const Panels<Type> w(a);
  alignas(64) uint8_t expanded[Type::kSubScales ? 2 * kChunkBlocks * kBlockBytes : 1];
  alignas(64) float sums[kMaxRows * 2 * kPanel];
  const size_t parts = (a.m + kMaxRows - 1) / kMaxRows;
  for (size_t part = 0; part < parts; ++part) {
    const size_t first = a.m * part / parts, rows = a.m * (part + 1) / parts - first;
    const size_t tiles = (rows + kTileRows - 1) / kTileRows;
    for (size_t j = 0; j < a.n; j += 2 * kPanel) {
      // The last panel may be alone: it is computed twice, and stored once.
      const uint8_t* panel[2] = {w.panel(j / kPanel), w.panel(j / kPanel)};
      if (j + kPanel < a.n) panel[1] += w.panel_bytes;
      __builtin_memset(sums, 0, rows * 2 * kPanel * sizeof(float));
      for (size_t chunk = 0; chunk < w.blocks; chunk += kChunkBlocks) {
        const size_t end = w.blocks < chunk + kChunkBlocks ? w.blocks : chunk + kChunkBlocks;
        const uint8_t* block[2];
        size_t block_bytes;
        for (size_t p = 0; p < 2; ++p) {
          const uint8_t* stored =
              panel[p] + w.header_bytes + chunk * (kBlock / kGroup) * kStoredBytes;
          if constexpr (Type::kSubScales) {
            uint8_t* to = expanded + p * kChunkBlocks * kBlockBytes;
            block[p] = to;
            block_bytes = kBlockBytes;
            for (size_t b = chunk; b < end; ++b, to += kBlockBytes) {
              expand<Type>(stored, w.block_groups(b), to);
              stored += w.block_groups(b) * kStoredBytes;
            }
          } else {
            block[p] = stored;
            block_bytes = kBlock / kGroup * kStoredBytes;
          }
        }
        for (size_t t = 0; t < tiles; ++t) {
          const size_t row = rows * t / tiles, count = rows * (t + 1) / tiles - row;
          const Activations x = activations(a, first + row);
          for (size_t b = chunk; b < end; ++b) {
            const size_t at = (b - chunk) * block_bytes;
            tile<kTileRows>(count, {x.q + b * kBlock,
                                    a.x_stride,
                                    x.bias8 + b,
                                    x.d + b,
                                    {block[0] + at, block[1] + at},
                                    w.block_groups(b) * kQuads,
                                    {scales(panel[0], b), scales(panel[1], b)},
                                    sums + row * 2 * kPanel});
          }
        }
      }
      for (size_t i = 0; i < rows; ++i) {
        float* y = a.y + (first + i) * a.y_stride + j;
        const float* sum = sums + i * 2 * kPanel;
        store_row(y, _mm512_load_ps(sum), a.n - j);
        if (a.n - j > kPanel) {
          store_row(y + kPanel, _mm512_load_ps(sum + kPanel), a.n - j - kPanel);
        }
      }
    }
  }
}

// From here on the expansion of weights pays. On Zen 5, from L2, it does from 10 rows on, and saves
// a quarter at 16; on Zen 4 it was measured to pay from 30, before weights were asked for so far
// ahead.
constexpr size_t kManyRows = 16;

template <class Type>
void matmul_q(const QuantMatmulArgs& a) {
  a.m >= kManyRows ? many_rows<Type>(a) : matmul_few_rows<Type>(a);
}

}  // namespace

extern constinit const KernelTable kAvx512VnniKernels;
constinit const KernelTable kAvx512VnniKernels = {
    .name = "avx512",
    .needs = kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni,
    .matmul_q = {matmul_q<Q8>, matmul_q<Q4>, matmul_q<Q3>},
};

}  // namespace axk1
