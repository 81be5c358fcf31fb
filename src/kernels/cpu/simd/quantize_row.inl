// Activations as 8-bit integers, by vectors. Included inside the anonymous namespace of an
// instruction set's source file, after its vectors and simd/panel.inl; includes nothing. Needs
//   abs(Vec), max_lanes(Vec), round16(const float* x, float factor, int8_t* q) -> sum of the 16 q,
// each x * factor to the nearest integer, ties to even.

// 16 columns at x, `count` of them there.
inline int32_t round_some(const float* x, size_t count, float factor, int8_t* q) {
  if (count >= 16) return round16(x, factor, q);
  float padded[16] = {};
  __builtin_memcpy(padded, x, count * sizeof(float));
  return round16(padded, factor, q);
}

void quantize_row(const float* x, void* y, size_t n) {
  auto* q = static_cast<int8_t*>(y);
  const size_t blocks = up(n, kBlock) / kBlock;
  auto* d = reinterpret_cast<float*>(q + up(n, 64));
  auto* bias8 = reinterpret_cast<int32_t*>(d + blocks);
  int32_t* bias4 = bias8 + blocks;
  for (size_t b = 0; b < blocks; ++b) {
    const size_t first = b * kBlock, count = n - first < kBlock ? n - first : kBlock;
    Vec largest = zero(), nothing = zero();
    for_vectors(count, [&](size_t at, size_t tail) {
      const Vec v = load_some(x + first + at, tail);
      largest = max_skip_nan(abs(v), largest);
      nothing = fma(v, zero(), nothing);
    });
    const bool finite = sum_lanes(nothing) == 0;  // NaN otherwise
    const float m = max_lanes(largest);
    d[b] = finite ? m / 127 : __builtin_nanf("");
    const float factor = m > 0 ? 127 / m : 0;
    int32_t sum = 0;
    for (size_t at = 0; at < up(count, kGroup); at += 16) {
      int32_t part = 0;
      if (finite && at < count) {
        part = round_some(x + first + at, count - at, factor, q + first + at);
      } else {
        __builtin_memset(q + first + at, 0, 16);
      }
      bias4[(first + at) / 16] = -kValueOffset * part;
      sum += part;
    }
    bias8[b] = -128 * sum;
  }
}
