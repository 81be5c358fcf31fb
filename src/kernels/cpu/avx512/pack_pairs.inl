// Pairs of bf16 from f32. Included inside the anonymous namespace of a source file compiled for
// AVX-512, after words.inl and simd/train_rows.inl; includes nothing.

// bf16 in the upper half of each word, rounded to nearest even; NaN stays NaN.
inline Words rounded_upper(Vec x) {
  const Words bits = as_words(x);
  const Words odd = and_words(shift_right<16>(bits), broadcast_word(1));
  const Words rounded = add_int32(bits, add_int32(odd, broadcast_word(0x7fff)));
  const Words quiet = or_words(bits, broadcast_word(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return and_words(_mm512_mask_blend_epi32(nan, rounded, quiet),
                   broadcast_word(static_cast<int32_t>(0xffff0000u)));
}

void pack_pairs(const float* even, const float* odd, uint32_t* words, size_t n) {
  for_vectors(n, [&](size_t at, size_t count) {
    const Words low = shift_right<16>(rounded_upper(load_some(even + at, count)));
    const Words high = odd ? rounded_upper(load_some(odd + at, count)) : zero_words();
    store_some(reinterpret_cast<float*>(words + at), as_floats(or_words(low, high)), count);
  });
}
