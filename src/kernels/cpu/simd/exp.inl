// Vectors along a row, and the exponential. Included inside the anonymous namespace of an
// instruction set's source file, after its vectors; includes nothing.

// exp to about 1 unit in the last place, 0 for -infinity, NaN for NaN. exp(x) = 2^n exp(r) with
// n = round(x / ln 2), |r| <= ln(2)/2, ln 2 in two parts (Cody and Waite), Taylor series of degree
// 7, whose remainder is below 2^-27 there.
inline Vec exp(Vec x) {
  x = min_keep_nan(broadcast(89.0f), max_keep_nan(broadcast(-104.0f), x));
  const Vec n = round(mul(x, broadcast(1.44269504f)));
  Vec r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  Vec p = broadcast(1.0f / 5040);
  p = fma(p, r, broadcast(1.0f / 720));
  p = fma(p, r, broadcast(1.0f / 120));
  p = fma(p, r, broadcast(1.0f / 24));
  p = fma(p, r, broadcast(1.0f / 6));
  p = fma(p, r, broadcast(0.5f));
  p = fma(p, r, broadcast(1.0f));
  p = fma(p, r, broadcast(1.0f));
  return times_power_of_two(p, n);
}

// body(offset, count): count is 0 for a full vector, else the elements of the tail.
template <class Body>
inline void for_vectors(size_t n, Body&& body) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, size_t{0});
  if (i < n) body(i, n - i);
}

inline Vec load_some(const float* p, size_t count) {
  return count ? load(p, count) : load(p);
}
inline void store_some(float* p, Vec v, size_t count) {
  if (count) {
    store(p, v, count);
  } else {
    store(p, v);
  }
}
