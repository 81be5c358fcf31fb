// Quantised weights in AVX-512 registers: 16 rows of a panel in the lanes, four columns to a lane,
// as unsigned bytes; activations signed, whose biases take back the offset. And the products for
// few rows of x, by vpdpbusd (AVX512-VNNI). Included inside the anonymous namespace of an
// instruction set's source file, after immintrin.h and panel.inl; includes nothing.

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

// Memory is asked for this far ahead of its use, and every line of it. Measured on Zen 5 with two
// memory paths, one row of x, Q4: with half the distance it reads a sixth slower, and another tenth
// slower when the lines of sub-scales are left out.
constexpr size_t kAheadBytes = 8192;

template <size_t kBytes>
inline void fetch_ahead(const uint8_t* p, size_t ahead = kAheadBytes) {
#pragma GCC unroll 8
  for (size_t line = 0; line < kBytes; line += 64) __builtin_prefetch(p + ahead + line);
}
inline void fetch_ahead_bytes(const uint8_t* p, size_t bytes, size_t ahead = kAheadBytes) {
  for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(p + ahead + line);
}

// Few rows of x: every group of weights is unpacked once, in registers, for kRows rows. A half's
// product with activations is within 16 * 127 * 10, so that its low 16 bits hold it, and vpdpwssd
// multiplies it by s and adds it up in one instruction.
template <class Type, size_t kRows>
void few_rows(const QuantMatmulArgs& a, const Panels<Type>& w, size_t first_row, size_t j) {
  Activations x[kRows];
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) x[i] = activations(a, first_row + i);
  float* y = a.y + first_row * a.y_stride;
  const uint8_t* header = w.panel(j / kPanel);
  const uint8_t* at = header + w.header_bytes;
  fetch_ahead_bytes(header, w.header_bytes);
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
    fetch_ahead_bytes(at, groups * Type::kScaleBytes);
    for (size_t g = 0; g < groups; ++g, codes += Type::kCodeBytes) {
      fetch_ahead<Type::kCodeBytes>(codes);
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
        // Sums of their own for every few products: one row's chain of eight would take longer than
        // they do.
        constexpr size_t kChains = kRows <= 4 ? 4 : 1;
#pragma GCC unroll 8
        for (size_t i = 0; i < kRows; ++i) {
          __m512i part[kChains] = {sum[i]};
#pragma GCC unroll 8
          for (size_t q = 0; q < kQuads; ++q) {
            part[q % kChains] = _mm512_dpbusd_epi32(part[q % kChains], quads[q],
                                                    broadcast_quad(x[i].q + column + 4 * q));
          }
          sum[i] = part[0];
#pragma GCC unroll 4
          for (size_t c = 1; c < kChains; ++c) sum[i] = _mm512_add_epi32(sum[i], part[c]);
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

template <class Type, size_t kRows>
void few_rows_of(size_t rows, const QuantMatmulArgs& a, const Panels<Type>& w, size_t first_row,
                 size_t j) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return few_rows_of<Type, kRows - 1>(rows, a, w, first_row, j);
  }
  few_rows<Type, kRows>(a, w, first_row, j);
}

constexpr size_t kFewRows = 8;

// The product, kFewRows rows of x at a time.
template <class Type>
void matmul_few_rows(const QuantMatmulArgs& a) {
  const Panels<Type> w(a);
  const size_t passes = (a.m + kFewRows - 1) / kFewRows;
  for (size_t j = 0; j < a.n; j += kPanel) {
    for (size_t pass = 0; pass < passes; ++pass) {
      const size_t first = a.m * pass / passes;
      few_rows_of<Type, kFewRows>(a.m * (pass + 1) / passes - first, a, w, first, j);
    }
  }
}

constexpr size_t kBlockBytes = kBlock * kPanel;

// A group as quads of unsigned bytes, weight + 128: 512 bytes at out.
template <class Type>
inline void expand_group(const uint8_t* sub_scales, const uint8_t* codes, uint8_t* out) {
  __m512i quads[kQuads];
  Type::unpack(codes, quads);
  __m512i s[2];
  Type::sub_scales(sub_scales, s);
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; ++half) {
    // s in both halves of a lane, so that one multiplication of 16 bits makes two products: none is
    // above 12 * 20, so nothing is carried from one byte to the other.
    const __m512i factors = _mm512_or_si512(s[half], _mm512_slli_epi32(s[half], 16));
    // 128 - 10 s in every byte.
    const __m512i offset =
        _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_setr_epi8(-128, 118, 108, 98, 88, 78, 68, 58,
                                                                 48, 38, 28, 18, 8, -2, -12, -22)),
                            _mm512_or_si512(factors, _mm512_slli_epi16(factors, 8)));
#pragma GCC unroll 4
    for (size_t q = 0; q < 4; ++q) {
      const __m512i scaled = _mm512_mullo_epi16(quads[4 * half + q], factors);
      _mm512_store_si512(out + 64 * (4 * half + q), _mm512_add_epi8(scaled, offset));
    }
  }
}

constexpr size_t kGroupBytes = kGroup * kPanel;  // expanded

// A block of a panel; up to kBlockBytes at out.
template <class Type>
void expand(const uint8_t* at, size_t groups, uint8_t* out) {
  const uint8_t* codes = at + groups * Type::kScaleBytes;
  fetch_ahead_bytes(at, groups * Type::kScaleBytes);
  for (size_t g = 0; g < groups; ++g, codes += Type::kCodeBytes, out += kGroupBytes) {
    fetch_ahead<Type::kCodeBytes>(codes);
    expand_group<Type>(at + g * Type::kScaleBytes, codes, out);
  }
}
