// Vectors of 8 floats. Included inside the anonymous namespace of a source file compiled for AVX2,
// FMA and F16C; includes nothing.

using Vec = __m256;
constexpr size_t kLanes = 8;

// All ones in the first count lanes.
inline __m256i first_lanes(size_t count) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), index);
}

inline Vec zero() {
  return _mm256_setzero_ps();
}
inline Vec broadcast(float v) {
  return _mm256_set1_ps(v);
}
inline Vec load(const float* p) {
  return _mm256_loadu_ps(p);
}
inline Vec load(const float* p, size_t count) {
  return _mm256_maskload_ps(p, first_lanes(count));
}
inline void store(float* p, Vec v) {
  _mm256_storeu_ps(p, v);
}
inline void store(float* p, Vec v, size_t count) {
  _mm256_maskstore_ps(p, first_lanes(count), v);
}

inline Vec add(Vec a, Vec b) {
  return _mm256_add_ps(a, b);
}
inline Vec sub(Vec a, Vec b) {
  return _mm256_sub_ps(a, b);
}
inline Vec mul(Vec a, Vec b) {
  return _mm256_mul_ps(a, b);
}
inline Vec div(Vec a, Vec b) {
  return _mm256_div_ps(a, b);
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm256_fmadd_ps(a, b, c);
}

// The instruction returns its second operand when either is NaN.
inline Vec max_keep_nan(Vec bound, Vec x) {
  return _mm256_max_ps(bound, x);
}
inline Vec min_keep_nan(Vec bound, Vec x) {
  return _mm256_min_ps(bound, x);
}
inline Vec max_skip_nan(Vec x, Vec so_far) {
  return _mm256_max_ps(x, so_far);
}

inline Vec round(Vec x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// x 2^n for integers n in [-150, 129], in two steps that no exponent overflows. x in [0.5, 2], so
// only the second step can round.
inline Vec times_power_of_two(Vec x, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const auto power = [&](__m256i e) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e, bias), 23));
  };
  return mul(mul(x, power(half)), power(_mm256_sub_epi32(whole, half)));
}
inline Vec abs(Vec x) {
  return _mm256_andnot_ps(broadcast(-0.0f), x);
}
inline Vec negative_abs(Vec x) {
  return _mm256_or_ps(x, broadcast(-0.0f));
}
// Where `sign` has its sign bit set: a, else b.
inline Vec select_negative(Vec sign, Vec a, Vec b) {
  return _mm256_blendv_ps(b, a, sign);
}
// The first count lanes of v, `fill` in the others.
inline Vec keep(Vec v, size_t count, float fill) {
  return _mm256_blendv_ps(broadcast(fill), v, _mm256_castsi256_ps(first_lanes(count)));
}
inline float first_lane(Vec v) {
  return _mm256_cvtss_f32(v);
}

// Four sums over all lanes by one fixed tree: lanes (0 + 2) + (1 + 3) of each half, then halves.
struct Sums {
  __m128 v;
};
inline Sums sums_of(Vec a, Vec b, Vec c, Vec d) {
  const Vec ab = add(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  const Vec cd = add(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
  const Vec even = _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0));
  const Vec odd = _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2));
  const Vec all = add(even, odd);
  return {_mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1))};
}
inline float sum_lanes(Vec v) {
  return _mm_cvtss_f32(sums_of(v, v, v, v).v);
}

inline float max_lanes(Vec v) {
  const __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
  return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}

inline __m128i load_16bit(const uint16_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
inline __m128i load_16bit(const uint16_t* p, size_t count) {
  uint16_t padded[kLanes] = {};
  __builtin_memcpy(padded, p, count * sizeof(uint16_t));
  return load_16bit(padded);
}

// Element types: what is in memory and how it becomes floats.
struct F32 {
  using Storage = float;
  static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  static Vec load(const float* p, size_t count) {
    return _mm256_maskload_ps(p, first_lanes(count));
  }
  static void load_pair(const float* p, Vec& first, Vec& second) {
    first = load(p);
    second = load(p + kLanes);
  }
};
struct BF16 {
  using Storage = uint16_t;
  static Vec widen(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static Vec load(const uint16_t* p) { return widen(load_16bit(p)); }
  static Vec load(const uint16_t* p, size_t count) { return widen(load_16bit(p, count)); }
  static void load_pair(const uint16_t* p, Vec& first, Vec& second) {
    first = load(p);
    second = load(p + kLanes);
  }
};
struct F16 {
  using Storage = uint16_t;
  static Vec load(const uint16_t* p) { return _mm256_cvtph_ps(load_16bit(p)); }
  static Vec load(const uint16_t* p, size_t count) { return _mm256_cvtph_ps(load_16bit(p, count)); }
  static void load_pair(const uint16_t* p, Vec& first, Vec& second) {
    first = load(p);
    second = load(p + kLanes);
  }
};

// Nearest, ties to even, NaN quiet.
inline __m128i to_bf16(Vec v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i halves = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}
inline void store_bf16(uint16_t* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), to_bf16(v));
}
inline void store_bf16(uint16_t* p, Vec v, size_t count) {
  uint16_t all[kLanes];
  store_bf16(all, v);
  __builtin_memcpy(p, all, count * sizeof(uint16_t));
}

// For simd/quantize_row.inl.
inline int32_t round16(const float* x, float factor, int8_t* q) {
  const __m256i a = _mm256_cvtps_epi32(mul(load(x), broadcast(factor)));
  const __m256i b = _mm256_cvtps_epi32(mul(load(x + 8), broadcast(factor)));
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
  const __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm_packs_epi16(low, high));
  const __m128i pairs = _mm_madd_epi16(_mm_add_epi16(low, high), _mm_set1_epi16(1));
  const __m128i two = _mm_add_epi32(pairs, _mm_unpackhi_epi64(pairs, pairs));
  return _mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1);
}
