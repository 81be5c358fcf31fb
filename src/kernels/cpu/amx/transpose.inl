// Included inside the anonymous namespace of a source file compiled for AVX-512; includes nothing.

// 16 rows of 16 words become 16 columns.
[[gnu::always_inline]] inline void transpose(__m512i (&v)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (size_t i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // Part p (128 bits) of v[4 g + c] is column 4 p + c of rows 4 g to 4 g + 3.
#pragma GCC unroll 4
  for (size_t c = 0; c < 4; ++c) {
    const __m512i even_low = _mm512_shuffle_i32x4(v[c], v[4 + c], 0x88);
    const __m512i even_high = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0x88);
    const __m512i odd_low = _mm512_shuffle_i32x4(v[c], v[4 + c], 0xdd);
    const __m512i odd_high = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0xdd);
    t[c] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    t[8 + c] = _mm512_shuffle_i32x4(even_low, even_high, 0xdd);
    t[4 + c] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    t[12 + c] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd);
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; ++i) v[i] = t[i];
}
