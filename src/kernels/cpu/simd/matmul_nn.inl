// y += x w, x f32. Included inside the anonymous namespace of an instruction set's source file,
// after simd/elementwise.inl; includes nothing.
//
// y[i, j] is one lane that starts at its old value and adds x[i, p] w[p, j], p ascending, each by a
// fused multiply-add: row-invariant, and the same on every instruction set with such an
// instruction.

// Rows [0, kRows) and kVecs vectors of columns; the last vector has `tail` columns if not 0.
template <class W, size_t kRows, size_t kVecs>
inline void nn_tile(const float* x, size_t x_stride, const typename W::Storage* w, size_t w_stride,
                    float* y, size_t y_stride, size_t k, size_t tail) {
  Vec acc[kRows][kVecs];
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (size_t v = 0; v < kVecs; ++v) {
      const float* at = y + i * y_stride + v * kLanes;
      acc[i][v] = v + 1 == kVecs && tail ? load(at, tail) : load(at);
    }
  }
  for (size_t p = 0; p < k; ++p) {
    Vec wv[kVecs];
#pragma GCC unroll 16
    for (size_t v = 0; v < kVecs; ++v) {
      const typename W::Storage* at = w + p * w_stride + v * kLanes;
      wv[v] = v + 1 == kVecs && tail ? W::load(at, tail) : W::load(at);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) {
      const Vec xv = broadcast(x[i * x_stride + p]);
#pragma GCC unroll 16
      for (size_t v = 0; v < kVecs; ++v) acc[i][v] = fma(xv, wv[v], acc[i][v]);
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (size_t v = 0; v < kVecs; ++v) {
      float* at = y + i * y_stride + v * kLanes;
      if (v + 1 == kVecs && tail) {
        store(at, acc[i][v], tail);
      } else {
        store(at, acc[i][v]);
      }
    }
  }
}

template <class W, size_t kRows, size_t kVecs>
void nn_rows(const MatmulArgs& a, size_t i) {
  const float* x = static_cast<const float*>(a.x) + i * a.x_stride;
  const auto* w = static_cast<const typename W::Storage*>(a.w);
  float* y = a.y + i * a.y_stride;
  size_t j = 0;
  for (; j + kVecs * kLanes <= a.n; j += kVecs * kLanes) {
    nn_tile<W, kRows, kVecs>(x, a.x_stride, w + j, a.w_stride, y + j, a.y_stride, a.k, 0);
  }
  for (; j < a.n; j += kLanes) {
    nn_tile<W, kRows, 1>(x, a.x_stride, w + j, a.w_stride, y + j, a.y_stride, a.k,
                         a.n - j < kLanes ? a.n - j : 0);
  }
}

// How far ahead of the rows being read, in rows (some 8 KiB in attention).
constexpr size_t kNnAheadRows = 8;

// y += x[0..kCount) w for kCount rows of w, y passing through registers once. Two vectors of
// columns at a time, a whole line of 16-bit numbers, and lines of later rows asked for in order of
// memory.
template <class W, size_t kCount>
inline void nn_add_rows(const float* x, const typename W::Storage* w, size_t w_stride, float* y,
                        size_t n) {
  size_t at = 0;
  for (; at + 2 * kLanes <= n; at += 2 * kLanes) {
    Vec first = load(y + at), second = load(y + at + kLanes);
#pragma GCC unroll 8
    for (size_t p = 0; p < kCount; ++p) {
      const char* ahead = reinterpret_cast<const char*>(w + kNnAheadRows * w_stride + kCount * at);
      constexpr size_t kLineStep = 2 * kLanes * sizeof(typename W::Storage);
      __builtin_prefetch(ahead + p * kLineStep, 0, 3);
      Vec w_first, w_second;
      W::load_pair(w + p * w_stride + at, w_first, w_second);
      const Vec xv = broadcast(x[p]);
      first = fma(xv, w_first, first);
      second = fma(xv, w_second, second);
    }
    store(y + at, first);
    store(y + at + kLanes, second);
  }
  for_vectors(n - at, [&](size_t rest, size_t count) {
    Vec acc = load_some(y + at + rest, count);
#pragma GCC unroll 8
    for (size_t p = 0; p < kCount; ++p) {
      const typename W::Storage* row = w + p * w_stride + at + rest;
      acc = fma(broadcast(x[p]), count ? W::load(row, count) : W::load(row), acc);
    }
    store_some(y + at + rest, acc, count);
  });
}

// One row of x, whose y (a few KiB) stays in L1: w is read once and in order.
template <class W>
void nn_one_row(const float* x, const typename W::Storage* w, size_t w_stride, float* y, size_t n,
                size_t k) {
  size_t p = 0;
  for (; p + 8 <= k; p += 8) nn_add_rows<W, 8>(x + p, w + p * w_stride, w_stride, y, n);
  for (; p < k; ++p) nn_add_rows<W, 1>(x + p, w + p * w_stride, w_stride, y, n);
}

// Tiles of 16 (AVX2: 8) vectors, which hide the latency of the additions.
template <class W>
void matmul_nn(const MatmulArgs& a) {
  size_t i = 0;
  for (; i + kNnRows <= a.m; i += kNnRows) nn_rows<W, kNnRows, kNnVecs>(a, i);
  for (; i + 4 <= a.m; i += 4) nn_rows<W, 4, kNnVecs4>(a, i);
  for (; i + 2 <= a.m; i += 2) nn_rows<W, 2, kNnVecs2>(a, i);
  if (i == a.m) return;
  nn_one_row<W>(static_cast<const float*>(a.x) + i * a.x_stride,
                static_cast<const typename W::Storage*>(a.w), a.w_stride, a.y + i * a.y_stride, a.n,
                a.k);
}
