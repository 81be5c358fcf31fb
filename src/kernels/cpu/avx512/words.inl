// Vectors of sixteen 32-bit words that hold two bf16, four bytes or one integer. Included inside
// the anonymous namespace of a source file compiled for AVX-512, after vec.inl; includes nothing.

using Words = __m512i;

inline Words zero_words() {
  return _mm512_setzero_si512();
}
inline Words load_words(const void* p) {
  return _mm512_loadu_si512(p);
}
// The first `bytes` of 64, the rest zero.
inline Words load_bytes(const void* p, size_t bytes) {
  return _mm512_maskz_loadu_epi8(bytes >= 64 ? ~0ull : (1ull << bytes) - 1, p);
}
inline void store_words(void* p, Words v) {
  _mm512_storeu_si512(p, v);
}
inline Words broadcast_word(int32_t v) {
  return _mm512_set1_epi32(v);
}
inline Words or_words(Words a, Words b) {
  return _mm512_or_si512(a, b);
}
inline Words and_words(Words a, Words b) {
  return _mm512_and_si512(a, b);
}
inline Words add_int32(Words a, Words b) {
  return _mm512_add_epi32(a, b);
}
template <int kBits>
inline Words shift_left(Words v) {
  return _mm512_slli_epi32(v, kBits);
}
template <int kBits>
inline Words shift_right(Words v) {
  return _mm512_srli_epi32(v, kBits);
}
template <int kBits>
inline Words shift_left16(Words v) {
  return _mm512_slli_epi16(v, kBits);
}
template <int kBits>
inline Words shift_right16(Words v) {
  return _mm512_srai_epi16(v, kBits);
}
inline Words multiply_add16(Words a, Words b) {
  return _mm512_madd_epi16(a, b);
}
inline Vec as_floats(Words v) {
  return _mm512_castsi512_ps(v);
}
inline Words as_words(Vec v) {
  return _mm512_castps_si512(v);
}
inline Vec to_float(Words v) {
  return _mm512_cvtepi32_ps(v);
}
inline Words to_int(Vec v) {
  return _mm512_cvtps_epi32(v);
}
// Interleaving within each 128-bit part: the lower or the upper half of both.
inline Words low16(Words a, Words b) {
  return _mm512_unpacklo_epi16(a, b);
}
inline Words high16(Words a, Words b) {
  return _mm512_unpackhi_epi16(a, b);
}
inline Words low8(Words a, Words b) {
  return _mm512_unpacklo_epi8(a, b);
}
inline Words high8(Words a, Words b) {
  return _mm512_unpackhi_epi8(a, b);
}
// x where limit > at, else -infinity.
inline Vec keep_visible(Vec x, const int32_t* limits, int32_t at) {
  const __mmask16 seen = _mm512_cmpgt_epi32_mask(_mm512_loadu_si512(limits), _mm512_set1_epi32(at));
  return _mm512_mask_blend_ps(seen, broadcast(-__builtin_inff()), x);
}
// x where bound < x, else 0.
inline Vec zero_unless_above(Vec x, Vec bound) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(bound, x, _CMP_LT_OQ), x);
}
inline Vec absolute(Vec x) {
  return _mm512_abs_ps(x);
}
