// Products with quantised weights by vpdpbusd (AVX512-VNNI): 16 rows of a panel in the lanes, four
// columns a step. Weights go in as unsigned bytes, activations signed; the biases of the activation
// row take back the offset.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

#include "kernels/cpu/simd/panel.inl"

inline __m512i load(const void* p) {
  return _mm512_loadu_si512(p);
}
// The same, not to be loaded again for a second use: g++ would fold the load into both, and decode
// is short of loads.
inline __m512i load_once(const void* p) {
  __m512i v = load(p);
  asm("" : "+v"(v));
  return v;
}
inline __m512i broadcast_quad(const int8_t* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, sizeof quad);
  return _mm512_set1_epi32(quad);
}
inline __m512 scales(const uint8_t* header, size_t block) {
  const __m256i bf16 =
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(header + block * kPanel * 2));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

// The weights of a group, as quads of unsigned bytes, and the sub-scales of its two halves in the
// lanes.
struct Q8 : Q8Sizes {
  static constexpr bool kSubScales = false;
  static void unpack(const uint8_t* codes, __m512i (&quads)[kQuads]) {
#pragma GCC unroll 8
    for (size_t i = 0; i < kQuads; ++i) quads[i] = load(codes + 64 * i);
  }
};

struct Q4 : Q4Sizes {
  static constexpr bool kSubScales = true;
  static void sub_scales(const uint8_t* at, __m512i (&s)[2]) {
    const __m512i both =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    s[0] = _mm512_and_si512(both, _mm512_set1_epi32(15));
    s[1] = _mm512_srli_epi32(both, 4);
  }
  static void unpack(const uint8_t* codes, __m512i (&quads)[kQuads]) {
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i values = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20));
#pragma GCC unroll 4
    for (size_t i = 0; i < kQuads / 2; ++i) {
      const __m512i v = load_once(codes + 64 * i);
      quads[2 * i] = _mm512_shuffle_epi8(values, _mm512_and_si512(v, low));
      quads[2 * i + 1] =
          _mm512_shuffle_epi8(values, _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
    }
  }
};

struct Q3 : Q3Sizes {
  static constexpr bool kSubScales = true;
  static void sub_scales(const uint8_t* at, __m512i (&s)[2]) {
    const __m128i both = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
    const __m128i high = _mm_srli_epi16(both, 4);
    s[0] = _mm512_cvtepu8_epi32(_mm_and_si128(_mm_unpacklo_epi64(both, high), _mm_set1_epi8(15)));
    s[1] = s[0];
  }
  static void unpack(const uint8_t* codes, __m512i (&quads)[kQuads]) {
    const __m512i low = _mm512_set1_epi8(3);
    const __m512i third = _mm512_set1_epi8(4);
    const __m512i values = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 7, 9, 11, 13, 16, 19, 0, 4, 7, 9, 11, 13, 16, 19));
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      __m512i v = load_once(codes + 64 * half);
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        uint64_t bits;
        __builtin_memcpy(&bits, codes + 128 + 8 * (4 * half + i), sizeof bits);
        const __m512i two = _mm512_and_si512(v, low);
        const __m512i code = _mm512_mask_add_epi8(two, bits, two, third);
        quads[4 * half + i] = _mm512_shuffle_epi8(values, code);
        v = _mm512_srli_epi16(v, 2);
      }
    }
  }
};

// acc += the integers of a block times both scales.
inline __m512 add_scaled(__m512 acc, __m512i product, __m512 d_w, float d_x) {
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), _mm512_mul_ps(_mm512_set1_ps(d_x), d_w), acc);
}

inline void store_row(float* y, __m512 v, size_t cols) {
  if (cols >= kPanel) {
    _mm512_storeu_ps(y, v);
  } else {
    _mm512_mask_storeu_ps(y, static_cast<__mmask16>((1u << cols) - 1), v);
  }
}

// How far ahead of the codes in use memory is asked for.
constexpr size_t kAheadBytes = 4096;

// Few rows of x: every group of weights is unpacked once, in registers, for kRows rows. A half's
// product with activations is within 16 * 127 * 10, so that its low 16 bits hold it, and vpdpwssd
// multiplies it by s and adds it up in one instruction.
template <class Type, size_t kRows>
void few_rows(const QuantMatmulArgs& a, const Panels<Type>& w, size_t first_row, size_t j) {
  {
    Activations x[kRows];
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) x[i] = activations(a, first_row + i);
    float* y = a.y + first_row * a.y_stride;
    const uint8_t* header = w.panel(j / kPanel);
    const uint8_t* at = header + w.header_bytes;
    __m512 acc[kRows];
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) acc[i] = _mm512_setzero_ps();
    for (size_t b = 0; b < w.blocks; ++b) {
      const size_t groups = w.block_groups(b);
      const uint8_t* codes = at + groups * Type::kScaleBytes;
      __m512i sum[kRows];
#pragma GCC unroll 8
      for (size_t i = 0; i < kRows; ++i) {
        sum[i] = Type::kSubScales ? _mm512_setzero_si512() : _mm512_set1_epi32(x[i].bias8[b]);
      }
      for (size_t g = 0; g < groups; ++g, codes += Type::kCodeBytes) {
#pragma GCC unroll 8
        for (size_t line = 0; line < Type::kCodeBytes; line += 64) {
          __builtin_prefetch(codes + kAheadBytes + line);
        }
        __m512i quads[kQuads];
        Type::unpack(codes, quads);
        const size_t column = b * kBlock + g * kGroup;
        if constexpr (Type::kSubScales) {
          __m512i s[2];
          Type::sub_scales(at + g * Type::kScaleBytes, s);
#pragma GCC unroll 2
          for (size_t half = 0; half < 2; ++half) {
#pragma GCC unroll 8
            for (size_t i = 0; i < kRows; ++i) {
              __m512i part = _mm512_set1_epi32(x[i].bias4[column / 16 + half]);
#pragma GCC unroll 4
              for (size_t q = 0; q < 4; ++q) {
                part = _mm512_dpbusd_epi32(part, quads[4 * half + q],
                                           broadcast_quad(x[i].q + column + 16 * half + 4 * q));
              }
              sum[i] = _mm512_dpwssd_epi32(sum[i], part, s[half]);
            }
          }
        } else {
#pragma GCC unroll 8
          for (size_t q = 0; q < kQuads; ++q) {
#pragma GCC unroll 8
            for (size_t i = 0; i < kRows; ++i) {
              sum[i] =
                  _mm512_dpbusd_epi32(sum[i], quads[q], broadcast_quad(x[i].q + column + 4 * q));
            }
          }
        }
      }
      const __m512 d_w = scales(header, b);
#pragma GCC unroll 8
      for (size_t i = 0; i < kRows; ++i) acc[i] = add_scaled(acc[i], sum[i], d_w, x[i].d[b]);
      at = codes;
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) store_row(y + i * a.y_stride + j, acc[i], a.n - j);
  }
}

template <class Type, size_t kRows>
void few_rows_of(size_t rows, const QuantMatmulArgs& a, const Panels<Type>& w, size_t first_row,
                 size_t j) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return few_rows_of<Type, kRows - 1>(rows, a, w, first_row, j);
  }
  few_rows<Type, kRows>(a, w, first_row, j);
}

// A block of a panel as quads of unsigned bytes, weight + 128.
template <class Type>
void expand(const uint8_t* at, size_t groups, uint8_t* out) {
  const uint8_t* codes = at + groups * Type::kScaleBytes;
  for (size_t g = 0; g < groups; ++g, codes += Type::kCodeBytes) {
#pragma GCC unroll 8
    for (size_t line = 0; line < Type::kCodeBytes; line += 64) {
      __builtin_prefetch(codes + kAheadBytes + line);
    }
    __m512i quads[kQuads];
    Type::unpack(codes, quads);
    __m512i s[2];
    Type::sub_scales(at + g * Type::kScaleBytes, s);
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      // s in the even bytes, then in the odd ones; 128 - 10 s in all.
      const __m512i even = _mm512_or_si512(s[half], _mm512_slli_epi32(s[half], 16));
      const __m512i odd = _mm512_slli_epi16(even, 8);
      const __m512i offset = _mm512_shuffle_epi8(
          _mm512_broadcast_i32x4(
              _mm_setr_epi8(-128, 118, 108, 98, 88, 78, 68, 58, 48, 38, 28, 18, 8, -2, -12, -22)),
          _mm512_or_si512(even, odd));
#pragma GCC unroll 4
      for (size_t q = 0; q < 4; ++q) {
        const __m512i v = quads[4 * half + q];
        const __m512i scaled = _mm512_or_si512(_mm512_maddubs_epi16(v, even),
                                               _mm512_slli_epi16(_mm512_maddubs_epi16(v, odd), 8));
        _mm512_store_si512(out, _mm512_add_epi8(scaled, offset));
        out += 64;
      }
    }
  }
}

constexpr size_t kTileRows = 12;  // of x, by two panels: 24 sums
constexpr size_t kMaxRows = 384;  // of x at once: their sums stay in L2
constexpr size_t kBlockBytes = kBlock * kPanel;
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
  constexpr size_t kGroupBytes = Type::kScaleBytes + Type::kCodeBytes;
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
              panel[p] + w.header_bytes + chunk * (kBlock / kGroup) * kGroupBytes;
          if constexpr (Type::kSubScales) {
            uint8_t* to = expanded + p * kChunkBlocks * kBlockBytes;
            block[p] = to;
            block_bytes = kBlockBytes;
            for (size_t b = chunk; b < end; ++b, to += kBlockBytes) {
              expand<Type>(stored, w.block_groups(b), to);
              stored += w.block_groups(b) * kGroupBytes;
            }
          } else {
            block[p] = stored;
            block_bytes = kBlock / kGroup * kGroupBytes;
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

constexpr size_t kFewRows = 8;
// From here on the expansion of weights pays.
constexpr size_t kManyRows = 30;

template <class Type>
void matmul_q(const QuantMatmulArgs& a) {
  if (a.m >= kManyRows) return many_rows<Type>(a);
  const Panels<Type> w(a);
  const size_t passes = (a.m + kFewRows - 1) / kFewRows;
  for (size_t j = 0; j < a.n; j += kPanel) {
    for (size_t pass = 0; pass < passes; ++pass) {
      const size_t first = a.m * pass / passes;
      few_rows_of<Type, kFewRows>(a.m * (pass + 1) / passes - first, a, w, first, j);
    }
  }
}

}  // namespace

extern constinit const KernelTable kAvx512VnniKernels;
constinit const KernelTable kAvx512VnniKernels = {
    .name = "avx512",
    .needs = kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni,
    .matmul_q = {matmul_q<Q8>, matmul_q<Q4>, matmul_q<Q3>},
};

}  // namespace axk1
