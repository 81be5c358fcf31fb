// Products with quantised weights on vectors of 8 rows of a panel, two halves one after the other.
// Included inside the anonymous namespace of a source file compiled for AVX2, after
// simd/panel.inl; includes nothing.

inline __m256i load_bytes(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline __m256i broadcast_quad(const int8_t* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, sizeof quad);
  return _mm256_set1_epi32(quad);
}

// Types of weights: quads(codes, half, out) are the group's, of 8 rows; kSubScales as in the
// layout.
struct Q8 : Q8Sizes {
  static constexpr bool kSubScales = false;
  // Signed.
  static void quads(const uint8_t* codes, size_t half, __m256i (&out)[kQuads]) {
#pragma GCC unroll 8
    for (size_t i = 0; i < kQuads; ++i) {
      out[i] = _mm256_xor_si256(load_bytes(codes + 64 * i + 32 * half), _mm256_set1_epi8(-128));
    }
  }
};

struct Q4 : Q4Sizes {
  static constexpr bool kSubScales = true;
  static void sub_scales(const uint8_t* at, size_t half, __m256i (&s)[2]) {
    const __m256i both =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at + 8 * half)));
    s[0] = _mm256_and_si256(both, _mm256_set1_epi32(15));
    s[1] = _mm256_srli_epi32(both, 4);
  }
  // Plus the offset that makes them unsigned, as for Q3.
  static void quads(const uint8_t* codes, size_t half, __m256i (&out)[kQuads]) {
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i values = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20));
#pragma GCC unroll 4
    for (size_t i = 0; i < kQuads / 2; ++i) {
      const __m256i v = load_bytes(codes + 64 * i + 32 * half);
      out[2 * i] = _mm256_shuffle_epi8(values, _mm256_and_si256(v, low));
      out[2 * i + 1] = _mm256_shuffle_epi8(values, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
    }
  }
};

struct Q3 : Q3Sizes {
  static constexpr bool kSubScales = true;
  static void sub_scales(const uint8_t* at, size_t half, __m256i (&s)[2]) {
    const __m256i both =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)));
    s[0] = half == 0 ? _mm256_and_si256(both, _mm256_set1_epi32(15)) : _mm256_srli_epi32(both, 4);
    s[1] = s[0];
  }
  static void quads(const uint8_t* codes, size_t half, __m256i (&out)[kQuads]) {
    const __m256i low = _mm256_set1_epi8(3);
    const __m256i values = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 7, 9, 11, 13, 16, 19, 0, 4, 7, 9, 11, 13, 16, 19));
    // Byte b of a vector gets byte b / 8 of the third bits, then keeps bit b % 8 of it.
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                            2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ull));
#pragma GCC unroll 8
    for (size_t i = 0; i < kQuads; ++i) {
      const __m256i v = load_bytes(codes + 64 * (i / 4) + 32 * half);
      const __m256i two =
          _mm256_and_si256(_mm256_srli_epi16(v, static_cast<int>(2 * (i % 4))), low);
      int32_t bits;
      __builtin_memcpy(&bits, codes + 128 + 8 * i + 4 * half, sizeof bits);
      const __m256i set =
          _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), spread), bit);
      const __m256i third = _mm256_and_si256(_mm256_cmpeq_epi8(set, bit), _mm256_set1_epi8(4));
      out[i] = _mm256_shuffle_epi8(values, _mm256_or_si256(two, third));
    }
  }
};

// One panel, rows [first, first + kRows) of x.
template <class Type, size_t kRows>
void panel_rows(const QuantMatmulArgs& a, const Panels<Type>& w, size_t first, size_t j) {
  Activations x[kRows];
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) x[i] = activations(a, first + i);
  const uint8_t* header = w.panel(j / kPanel);
  const uint8_t* at = header + w.header_bytes;
  __m256 acc[2][kRows];
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) acc[0][i] = acc[1][i] = _mm256_setzero_ps();
  for (size_t b = 0; b < w.blocks; ++b) {
    const size_t groups = w.block_groups(b);
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const uint8_t* codes = at + groups * Type::kScaleBytes;
      __m256i sum[kRows];
#pragma GCC unroll 4
      for (size_t i = 0; i < kRows; ++i) sum[i] = _mm256_setzero_si256();
      for (size_t g = 0; g < groups; ++g, codes += Type::kCodeBytes) {
        if (half == 0) {
#pragma GCC unroll 8
          for (size_t line = 0; line < Type::kCodeBytes; line += 64) {
            __builtin_prefetch(codes + 4096 + line);
          }
        }
        const size_t column = b * kBlock + g * kGroup;
        __m256i quads[kQuads];
        Type::quads(codes, half, quads);
        if constexpr (Type::kSubScales) {
          __m256i s[2];
          Type::sub_scales(at + g * Type::kScaleBytes, half, s);
          const __m256i both = _mm256_or_si256(s[0], _mm256_slli_epi32(s[1], 16));
#pragma GCC unroll 4
          for (size_t i = 0; i < kRows; ++i) {
            // Both biases fit 16 bits.
            const int32_t* bias = x[i].bias4 + column / 16;
            const auto pair = static_cast<int32_t>(static_cast<uint16_t>(bias[0]) |
                                                   static_cast<uint32_t>(bias[1]) << 16);
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(both, _mm256_set1_epi32(pair)));
          }
#pragma GCC unroll 2
          for (size_t part = 0; part < 2; ++part) {
            const __m256i scale = _mm256_or_si256(s[part], _mm256_slli_epi32(s[part], 16));
#pragma GCC unroll 4
            for (size_t i = 0; i < kRows; ++i) {
              // At most 4 * 2 * 20 * 127 in a lane of 16 bits.
              __m256i products = _mm256_setzero_si256();
#pragma GCC unroll 4
              for (size_t q = 0; q < 4; ++q) {
                products = _mm256_add_epi16(
                    products,
                    _mm256_maddubs_epi16(quads[4 * part + q],
                                         broadcast_quad(x[i].q + column + 16 * part + 4 * q)));
              }
              sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(products, scale));
            }
          }
        } else {
#pragma GCC unroll 4
          for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
            for (size_t q = 0; q < kQuads; ++q) {
              const __m256i xv = broadcast_quad(x[i].q + column + 4 * q);
              // At most 2 * 127 * 127: the signs of x go to w, which is never -128.
              const __m256i products =
                  _mm256_maddubs_epi16(_mm256_abs_epi8(xv), _mm256_sign_epi8(quads[q], xv));
              sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
            }
          }
        }
      }
      const __m128i bf16 =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(header + (b * kPanel + 8 * half) * 2));
      const __m256 d_w = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
#pragma GCC unroll 4
      for (size_t i = 0; i < kRows; ++i) {
        acc[half][i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[i]),
                                       _mm256_mul_ps(_mm256_set1_ps(x[i].d[b]), d_w), acc[half][i]);
      }
    }
    at += groups * (Type::kScaleBytes + Type::kCodeBytes);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
    float* y = a.y + (first + i) * a.y_stride + j;
    if (a.n - j >= kPanel) {
      _mm256_storeu_ps(y, acc[0][i]);
      _mm256_storeu_ps(y + 8, acc[1][i]);
    } else {
      float row[kPanel];
      _mm256_storeu_ps(row, acc[0][i]);
      _mm256_storeu_ps(row + 8, acc[1][i]);
      __builtin_memcpy(y, row, (a.n - j) * sizeof(float));
    }
  }
}

template <class Type>
void matmul_q(const QuantMatmulArgs& a) {
  const Panels<Type> w(a);
  for (size_t j = 0; j < a.n; j += kPanel) {
    size_t i = 0;
    for (; i + 4 <= a.m; i += 4) panel_rows<Type, 4>(a, w, i, j);
    if (a.m - i == 3) panel_rows<Type, 3>(a, w, i, j);
    if (a.m - i == 2) panel_rows<Type, 2>(a, w, i, j);
    if (a.m - i == 1) panel_rows<Type, 1>(a, w, i, j);
  }
}
