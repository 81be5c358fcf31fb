// Vectors of eight 32-bit words that hold two bf16, four bytes or one integer. Included inside the
// anonymous namespace of a source file compiled for AVX2, after vec.inl; includes nothing.

using Words = __m256i;

inline Words zero_words() {
  return _mm256_setzero_si256();
}
inline Words load_words(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
// The first `bytes` of 32, the rest zero.
inline Words load_bytes(const void* p, size_t bytes) {
  if (bytes >= 32) return load_words(p);
  char padded[32] = {};
  __builtin_memcpy(padded, p, bytes);
  return load_words(padded);
}
inline void store_words(void* p, Words v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}
inline Words broadcast_word(int32_t v) {
  return _mm256_set1_epi32(v);
}
inline Words or_words(Words a, Words b) {
  return _mm256_or_si256(a, b);
}
inline Words and_words(Words a, Words b) {
  return _mm256_and_si256(a, b);
}
inline Words add_int32(Words a, Words b) {
  return _mm256_add_epi32(a, b);
}
template <int kBits>
inline Words shift_left(Words v) {
  return _mm256_slli_epi32(v, kBits);
}
template <int kBits>
inline Words shift_right(Words v) {
  return _mm256_srli_epi32(v, kBits);
}
template <int kBits>
inline Words shift_left16(Words v) {
  return _mm256_slli_epi16(v, kBits);
}
template <int kBits>
inline Words shift_right16(Words v) {
  return _mm256_srai_epi16(v, kBits);
}
inline Words multiply_add16(Words a, Words b) {
  return _mm256_madd_epi16(a, b);
}
inline Vec as_floats(Words v) {
  return _mm256_castsi256_ps(v);
}
inline Words as_words(Vec v) {
  return _mm256_castps_si256(v);
}
inline Vec to_float(Words v) {
  return _mm256_cvtepi32_ps(v);
}
inline Words to_int(Vec v) {
  return _mm256_cvtps_epi32(v);
}
// Interleaving within each 128-bit part: the lower or the upper half of both.
inline Words low16(Words a, Words b) {
  return _mm256_unpacklo_epi16(a, b);
}
inline Words high16(Words a, Words b) {
  return _mm256_unpackhi_epi16(a, b);
}
inline Words low8(Words a, Words b) {
  return _mm256_unpacklo_epi8(a, b);
}
inline Words high8(Words a, Words b) {
  return _mm256_unpackhi_epi8(a, b);
}
// x where limit > at, else -infinity.
inline Vec keep_visible(Vec x, const int32_t* limits, int32_t at) {
  const Words seen = _mm256_cmpgt_epi32(load_words(limits), broadcast_word(at));
  return _mm256_blendv_ps(broadcast(-__builtin_inff()), x, as_floats(seen));
}
// x where bound < x, else 0.
inline Vec zero_unless_above(Vec x, Vec bound) {
  return _mm256_and_ps(_mm256_cmp_ps(bound, x, _CMP_LT_OQ), x);
}
inline Vec absolute(Vec x) {
  return _mm256_andnot_ps(broadcast(-0.0f), x);
}
