// Quantised weights as signed bytes, by vpermb (AVX512-VBMI), which looks bytes up by the low six
// bits of an index: what else is in a byte of codes need not be masked off. Included inside the
// anonymous namespace of a source file, after simd/quant_vnni.inl; includes nothing.

constexpr size_t kStepGroups = 64 / kGroup;

// Sub-scales of two groups and what to add for them, a byte each, in the order of the type; `index`
// says for every byte of a quad where its row's is.
struct StepScales {
  __m512i s, offset;  // 0 to kMaxSubScale; -10 s

  explicit StepScales(__m512i scales) : s(scales) {
    offset = _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, -10, -20, -30, -40, -50, -60, -70, -80, -90, -100,
                                             -110, -120, 0, 0, 0)),
        s);
  }
  // 64 bytes of s * (values - 10), from values 0 to 20: one multiplication of 16 bits makes two
  // products, none above 12 * 20, so that nothing is carried from one byte to the other.
  static __m512i times(__m512i values, __m512i factors, __m512i offsets) {
    return _mm512_add_epi8(_mm512_mullo_epi16(values, factors), offsets);
  }
  // s in the low byte of every 16 bits.
  __m512i factors(__m512i index) const {
    return _mm512_maskz_permutexvar_epi8(0x5555555555555555ull, index, s);
  }
  __m512i offsets(__m512i index) const { return _mm512_permutexvar_epi8(index, offset); }
};

// In every lane r its number r in all four bytes.
inline __m512i row_index() {
  return _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                            _mm512_set1_epi32(0x01010101));
}

// Two groups of 32 columns, 1 KiB at out; with `one` the first of them, and then zeros.
inline void expand_step(Q4, const uint8_t* sub_scales, const uint8_t* codes, bool one,
                        uint8_t* out) {
  const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sub_scales));
  const __m512i nibbles =
      _mm512_inserti64x4(_mm512_castsi256_si512(both), _mm256_srli_epi16(both, 4), 1);
  const StepScales scales(_mm512_and_si512(nibbles, _mm512_set1_epi8(15)));
  const __m512i values =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20));
  const __m512i rows = row_index();
#pragma GCC unroll 2
  for (size_t g = 0; g < kStepGroups; ++g, out += kGroupBytes) {
    if (g == 1 && one) return static_cast<void>(__builtin_memset(out, 0, kGroupBytes));
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const __m512i index =
          _mm512_add_epi8(rows, _mm512_set1_epi8(static_cast<char>(16 * g + 32 * half)));
      const __m512i factors = scales.factors(index), offsets = scales.offsets(index);
#pragma GCC unroll 2
      for (size_t i = 0; i < 2; ++i) {
        const __m512i v = load_once(codes + Q4::kCodeBytes * g + 64 * (2 * half + i));
        uint8_t* to = out + 64 * (4 * half + 2 * i);
        _mm512_store_si512(to,
                           StepScales::times(_mm512_permutexvar_epi8(v, values), factors, offsets));
        _mm512_store_si512(
            to + 64, StepScales::times(_mm512_permutexvar_epi8(_mm512_srli_epi16(v, 4), values),
                                       factors, offsets));
      }
    }
  }
}

inline void expand_step(Q3, const uint8_t* sub_scales, const uint8_t* codes, bool one,
                        uint8_t* out) {
  const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(sub_scales));
  const __m256i nibbles =
      _mm256_inserti128_si256(_mm256_castsi128_si256(both), _mm_srli_epi16(both, 4), 1);
  const StepScales scales(_mm512_castsi256_si512(_mm256_and_si256(nibbles, _mm256_set1_epi8(15))));
  const __m512i low = _mm512_set1_epi32(0x09070400), high = _mm512_set1_epi32(0x13100d0b);
  // Rows 8 and on are 8 bytes further.
  const __m512i rows = row_index();
  const __m512i upper = _mm512_and_si512(rows, _mm512_set1_epi8(8));
#pragma GCC unroll 2
  for (size_t g = 0; g < kStepGroups; ++g, out += kGroupBytes, codes += Q3::kCodeBytes) {
    if (g == 1 && one) return static_cast<void>(__builtin_memset(out, 0, kGroupBytes));
    const __m512i index =
        _mm512_add_epi8(_mm512_add_epi8(rows, upper), _mm512_set1_epi8(static_cast<char>(8 * g)));
    const __m512i factors = scales.factors(index), offsets = scales.offsets(index);
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      __m512i v = load_once(codes + 64 * half);
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        uint64_t third;
        __builtin_memcpy(&third, codes + 128 + 8 * (4 * half + i), sizeof third);
        const __m512i quad =
            _mm512_mask_permutexvar_epi8(_mm512_permutexvar_epi8(v, low), third, v, high);
        _mm512_store_si512(out + 64 * (4 * half + i), StepScales::times(quad, factors, offsets));
        v = _mm512_srli_epi16(v, 2);
      }
    }
  }
}

// Unsigned ones, copied.
inline void expand_step(Q8, const uint8_t*, const uint8_t* codes, bool one, uint8_t* out) {
  __builtin_memcpy(out, codes, kGroupBytes);
  if (one) {
    __builtin_memset(out + kGroupBytes, 0, kGroupBytes);
  } else {
    __builtin_memcpy(out + kGroupBytes, codes + kGroupBytes, kGroupBytes);
  }
}
