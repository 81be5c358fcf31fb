// The products of simd/latent.inl without instructions made for them. Included after words.inl;
// includes nothing.

// Two products of bf16, the lower half of each word first, each added with one rounding.
struct PlainBF16Dot {
  using Acc = Vec;
  static Vec zero() { return broadcast(0.0f); }
  static Vec low(Words v) { return as_floats(shift_left<16>(v)); }
  static Vec high(Words v) {
    return as_floats(and_words(v, broadcast_word(static_cast<int32_t>(0xffff0000u))));
  }
  static Vec mul_add(Vec acc, Words rows, const char* cell) {
    const Words c = broadcast_word(word_at(cell));
    return fma(high(rows), high(c), fma(low(rows), low(c), acc));
  }
};

// Four products of unsigned bytes of rows with signed bytes of the cache, exact.
struct PlainInt8Dot {
  using Acc = Words;
  static Words zero() { return zero_words(); }
  static Words mul_add(Words acc, Words rows, const char* cell) {
    const Words c = broadcast_word(word_at(cell));
    const Words mask = broadcast_word(0x00ff00ff);
    const Words even = multiply_add16(and_words(rows, mask), shift_right16<8>(shift_left16<8>(c)));
    const Words odd = multiply_add16(and_words(shift_right<8>(rows), mask), shift_right16<8>(c));
    return add_int32(acc, add_int32(even, odd));
  }
};
