// Vectors of 16 floats. Included inside the anonymous namespace of a source file compiled for
// AVX-512; includes nothing.

using Vec = __m512;
constexpr size_t kLanes = 16;

inline __mmask16 first_lanes(size_t count) {
  return static_cast<__mmask16>((1u << count) - 1);
}

inline Vec zero() {
  return _mm512_setzero_ps();
}
inline Vec broadcast(float v) {
  return _mm512_set1_ps(v);
}
inline Vec load(const float* p) {
  return _mm512_loadu_ps(p);
}
inline Vec load(const float* p, size_t count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), p);
}
inline void store(float* p, Vec v) {
  _mm512_storeu_ps(p, v);
}
inline void store(float* p, Vec v, size_t count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), v);
}

inline Vec add(Vec a, Vec b) {
  return _mm512_add_ps(a, b);
}
inline Vec sub(Vec a, Vec b) {
  return _mm512_sub_ps(a, b);
}
inline Vec mul(Vec a, Vec b) {
  return _mm512_mul_ps(a, b);
}
inline Vec div(Vec a, Vec b) {
  return _mm512_div_ps(a, b);
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}

// The instruction returns its second operand when either is NaN.
inline Vec max_keep_nan(Vec bound, Vec x) {
  return _mm512_max_ps(bound, x);
}
inline Vec min_keep_nan(Vec bound, Vec x) {
  return _mm512_min_ps(bound, x);
}
inline Vec max_skip_nan(Vec x, Vec so_far) {
  return _mm512_max_ps(x, so_far);
}

inline Vec round(Vec x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec times_power_of_two(Vec x, Vec n) {
  return _mm512_scalef_ps(x, n);
}
inline Vec abs(Vec x) {
  return _mm512_abs_ps(x);
}
inline Vec negative_abs(Vec x) {
  return _mm512_or_ps(x, broadcast(-0.0f));
}
// Where `sign` has its sign bit set: a, else b.
inline Vec select_negative(Vec sign, Vec a, Vec b) {
  return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(sign)), b, a);
}
// The first count lanes of v, `fill` in the others.
inline Vec keep(Vec v, size_t count, float fill) {
  return _mm512_mask_blend_ps(first_lanes(count), broadcast(fill), v);
}

inline __m256 low_half(Vec v) {
  return _mm512_castps512_ps256(v);
}
inline __m256 high_half(Vec v) {
  return _mm512_extractf32x8_ps(v, 1);
}
inline float first_lane(Vec v) {
  return _mm512_cvtss_f32(v);
}

// Four sums over all lanes by one fixed tree: halves, halves, then lanes (0 + 2) + (1 + 3).
struct Sums {
  __m128 v;
};
inline Sums sums_of(Vec a, Vec b, Vec c, Vec d) {
  const __m256 a8 = _mm256_add_ps(low_half(a), high_half(a));
  const __m256 b8 = _mm256_add_ps(low_half(b), high_half(b));
  const __m256 c8 = _mm256_add_ps(low_half(c), high_half(c));
  const __m256 d8 = _mm256_add_ps(low_half(d), high_half(d));
  const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a8, b8), _mm256_unpackhi_ps(a8, b8));
  const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c8, d8), _mm256_unpackhi_ps(c8, d8));
  const __m256 even = _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0));
  const __m256 odd = _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2));
  const __m256 all = _mm256_add_ps(even, odd);
  return {_mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1))};
}
inline float sum_lanes(Vec v) {
  return _mm_cvtss_f32(sums_of(v, v, v, v).v);
}

inline float max_lanes(Vec v) {
  const __m256 m8 = _mm256_max_ps(low_half(v), high_half(v));
  const __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
  const __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
  return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}

inline __m256i load_16bit(const uint16_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline __m256i load_16bit(const uint16_t* p, size_t count) {
  return _mm256_maskz_loadu_epi16(first_lanes(count), p);
}

// Element types: what is in memory and how it becomes floats.
struct F32 {
  using Storage = float;
  static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static Vec load(const float* p, size_t count) {
    return _mm512_maskz_loadu_ps(first_lanes(count), p);
  }
  static void load_pair(const float* p, Vec& first, Vec& second) {
    first = load(p);
    second = load(p + kLanes);
  }
};
struct BF16 {
  using Storage = uint16_t;
  // Each word into the upper half of a lane by one permutation, instead of an extension and a
  // shift.
  static Vec widen_low(__m512i bits) {
    const __m512i upper = _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0,  //
                                           7, 0, 6, 0, 5, 0, 4, 0, 3, 0, 2, 0, 1, 0, 0, 0);
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, upper, bits));
  }
  static Vec widen_high(__m512i bits) {
    const __m512i upper =
        _mm512_set_epi16(31, 0, 30, 0, 29, 0, 28, 0, 27, 0, 26, 0, 25, 0, 24, 0,  //
                         23, 0, 22, 0, 21, 0, 20, 0, 19, 0, 18, 0, 17, 0, 16, 0);
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, upper, bits));
  }
  static Vec widen(__m256i bits) { return widen_low(_mm512_castsi256_si512(bits)); }
  static Vec load(const uint16_t* p) { return widen(load_16bit(p)); }
  static Vec load(const uint16_t* p, size_t count) { return widen(load_16bit(p, count)); }
  static void load_pair(const uint16_t* p, Vec& first, Vec& second) {
    const __m512i bits = _mm512_loadu_si512(p);
    first = widen_low(bits);
    second = widen_high(bits);
  }
};
struct F16 {
  using Storage = uint16_t;
  static Vec load(const uint16_t* p) { return _mm512_cvtph_ps(load_16bit(p)); }
  static Vec load(const uint16_t* p, size_t count) { return _mm512_cvtph_ps(load_16bit(p, count)); }
  static void load_pair(const uint16_t* p, Vec& first, Vec& second) {
    const __m512i bits = _mm512_loadu_si512(p);
    first = _mm512_cvtph_ps(_mm512_castsi512_si256(bits));
    second = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(bits, 1));
  }
};

// Nearest, ties to even, NaN quiet: integer arithmetic, because vcvtneps2bf16 flushes denormals.
inline __m256i to_bf16(Vec v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16));
}
inline void store_bf16(uint16_t* p, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_bf16(v));
}
inline void store_bf16(uint16_t* p, Vec v, size_t count) {
  _mm256_mask_storeu_epi16(p, first_lanes(count), to_bf16(v));
}

// For simd/quantize_row.inl.
inline int32_t round16(const float* x, float factor, int8_t* q) {
  const __m512i rounded = _mm512_cvtps_epi32(mul(load(x), broadcast(factor)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtsepi32_epi8(rounded));
  return _mm512_reduce_add_epi32(rounded);
}
