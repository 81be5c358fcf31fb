// y = x wᵀ by dot products in vector registers. Included inside the anonymous namespace of an
// instruction set's source file, so that every copy stays private to its flags; includes nothing.
//
// A product is described by a class Dot:
//   XStorage, WStorage     element types in memory
//   X, W, Acc              vectors of kStep elements of x and of w; partial sums
//   load_x(p), load_x(p, n), load_w(p), load_w(p, n)   n < kStep elements, the rest zero
//   zero(), mul_add(acc, x, w)
//   sums(a, b, c, d) -> four floats in a Sums, each the sum of all lanes of one Acc
//   Wide                   a Dot with the same arithmetic on widened copies of x and w, or Dot
//                          itself; kWidenX, kWidenW say which operands change type
//
// Row invariance: y[i, j] is one Acc stepping along k, then one fixed tree over its lanes, whatever
// tile it is part of. Blocking along k only parks the Acc in memory in between.

inline size_t min_of(size_t a, size_t b) {
  return a < b ? a : b;
}

// A tile is at most kTileRows x 4 and every block is made of tiles. The parked sums of a block and
// the widened copies stay well inside an L2 of 1 MiB; a tile's rows of x (kTileRows * kBlockK)
// stay in L1 while the rows of w pass by.
constexpr size_t kTileCols = 4;
constexpr size_t kBlockM = 48;  // a multiple of kTileRows
constexpr size_t kBlockN = 32;

template <class Dot, size_t kRows>
struct TileRows {
  const typename Dot::XStorage* x[kRows];
  const typename Dot::WStorage* w[kTileCols];
};

// acc[i][j] += x[i] w[j] over the vectors at p; `count` is the elements of a tail (0: a whole
// vector). Whichever side has fewer vectors stays in registers.
template <class Dot, size_t kRows, bool kTail>
inline void step(const TileRows<Dot, kRows>& rows, size_t p, size_t count,
                 typename Dot::Acc (&acc)[kRows][kTileCols]) {
  const auto load_x = [&](size_t i) {
    if constexpr (kTail) return Dot::load_x(rows.x[i] + p, count);
    return Dot::load_x(rows.x[i] + p);
  };
  const auto load_w = [&](size_t j) {
    if constexpr (kTail) return Dot::load_w(rows.w[j] + p, count);
    return Dot::load_w(rows.w[j] + p);
  };
  if constexpr (kRows < kTileCols) {
    typename Dot::X xv[kRows];
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) xv[i] = load_x(i);
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileCols; ++j) {
      const typename Dot::W wv = load_w(j);
#pragma GCC unroll 8
      for (size_t i = 0; i < kRows; ++i) acc[i][j] = Dot::mul_add(acc[i][j], xv[i], wv);
    }
  } else {
    typename Dot::W wv[kTileCols];
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileCols; ++j) wv[j] = load_w(j);
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) {
      const typename Dot::X xv = load_x(i);
#pragma GCC unroll 4
      for (size_t j = 0; j < kTileCols; ++j) acc[i][j] = Dot::mul_add(acc[i][j], xv, wv[j]);
    }
  }
}

// acc[i][j] += x[i, :] w[j, :]. A column at or beyond `cols` repeats the last one.
template <class Dot, size_t kRows, bool kPrefetch>
inline void accumulate(const typename Dot::XStorage* x, size_t x_stride,
                       const typename Dot::WStorage* w, size_t w_stride, size_t cols, size_t k,
                       typename Dot::Acc (&acc)[kRows][kTileCols]) {
  TileRows<Dot, kRows> rows;
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) rows.x[i] = x + i * x_stride;
#pragma GCC unroll 4
  for (size_t j = 0; j < kTileCols; ++j) rows.w[j] = w + min_of(j, cols - 1) * w_stride;

  // Memory is fastest read as one sequential run: the next kTileCols rows are fetched in order
  // while the arithmetic walks these rows side by side.
  const char* ahead = reinterpret_cast<const char*>(w + kTileCols * w_stride);
  constexpr size_t kAheadStep = Dot::kStep * kTileCols * sizeof(typename Dot::WStorage);

  size_t p = 0;
  for (; p + Dot::kStep <= k; p += Dot::kStep) {
    if constexpr (kPrefetch) {
#pragma GCC unroll 4
      for (size_t line = 0; line < kAheadStep; line += 64) __builtin_prefetch(ahead + line, 0, 2);
      ahead += kAheadStep;
    }
    step<Dot, kRows, false>(rows, p, 0, acc);
  }
  if (p < k) step<Dot, kRows, true>(rows, p, k - p, acc);
}

template <class Dot>
inline void store_sums(const typename Dot::Acc (&acc)[kTileCols], float* y, size_t cols) {
  const Sums sums = Dot::sums(acc[0], acc[1], acc[2], acc[3]);
  if (cols == kTileCols) {
    __builtin_memcpy(y, &sums, sizeof(sums));
  } else {
    __builtin_memcpy(y, &sums, cols * sizeof(float));
  }
}

template <class Dot, size_t kRows, bool kPrefetch>
inline void tile(const typename Dot::XStorage* x, size_t x_stride, const typename Dot::WStorage* w,
                 size_t w_stride, size_t cols, size_t k, float* y, size_t y_stride) {
  typename Dot::Acc acc[kRows][kTileCols];
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileCols; ++j) acc[i][j] = Dot::zero();
  }
  accumulate<Dot, kRows, kPrefetch>(x, x_stride, w, w_stride, cols, k, acc);
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) store_sums<Dot>(acc[i], y + i * y_stride, cols);
}

// Few rows: every column tile runs along the whole of k, so w is read once and in order.
template <class Dot, size_t kRows>
void few_rows(const MatmulArgs& a) {
  const auto* x = static_cast<const typename Dot::XStorage*>(a.x);
  const auto* w = static_cast<const typename Dot::WStorage*>(a.w);
  for (size_t j = 0; j < a.n; j += kTileCols) {
    tile<Dot, kRows, true>(x, a.x_stride, w + j * a.w_stride, a.w_stride,
                           min_of(kTileCols, a.n - j), a.k, a.y + j, a.y_stride);
  }
}

// A block whose k is cut: the sums of kRows rows go on from where the last part left them.
template <class Dot, size_t kRows>
inline void parked_tile(const typename Dot::XStorage* x, size_t x_stride,
                        const typename Dot::WStorage* w, size_t w_stride, size_t cols, size_t k,
                        typename Dot::Acc* parked, bool first, bool last, float* y,
                        size_t y_stride) {
  typename Dot::Acc acc[kRows][kTileCols];
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileCols; ++j) {
      acc[i][j] = first ? Dot::zero() : parked[i * kTileCols + j];
    }
  }
  accumulate<Dot, kRows, false>(x, x_stride, w, w_stride, cols, k, acc);
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
    if (last) {
      store_sums<Dot>(acc[i], y + i * y_stride, cols);
      continue;
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileCols; ++j) parked[i * kTileCols + j] = acc[i][j];
  }
}

// parked_tile for a number of rows known at run time, 1 to kTileRows.
template <class Dot, size_t kRows, class... Rest>
inline void parked_tile_rows(size_t rows, Rest... rest) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return parked_tile_rows<Dot, kRows - 1>(rows, rest...);
  }
  parked_tile<Dot, kRows>(rest...);
}

// The `cols` columns from j on of y for the `rows` rows from i on, of a block along k.
template <class Dot>
struct Block {
  const typename Dot::XStorage* x;
  size_t x_stride;
  const typename Dot::WStorage* w;
  size_t w_stride;
  size_t rows, cols, k;
  bool first, last;
  float* y;
  size_t y_stride;
};

template <class Dot>
void run_block(const Block<Dot>& b, typename Dot::Acc* parked) {
  for (size_t i = 0; i < b.rows; i += kTileRows) {
    for (size_t j = 0; j < b.cols; j += kTileCols) {
      parked_tile_rows<Dot, kTileRows>(
          min_of(kTileRows, b.rows - i), b.x + i * b.x_stride, b.x_stride, b.w + j * b.w_stride,
          b.w_stride, min_of(kTileCols, b.cols - j), b.k, parked + i * kBlockN + j * kTileRows,
          b.first, b.last, b.y + i * b.y_stride + j, b.y_stride);
    }
  }
}

template <class Dot, bool kWiden, class Storage, class WideStorage>
inline const WideStorage* widened(const Storage* src, size_t stride, size_t rows, size_t k,
                                  WideStorage* dst, size_t* dst_stride) {
  if constexpr (kWiden) {
    for (size_t i = 0; i < rows; ++i) Dot::widen(src + i * stride, dst + i * Dot::kBlockK, k);
    *dst_stride = Dot::kBlockK;
    return dst;
  } else {
    *dst_stride = stride;
    return src;
  }
}

template <class Dot>
void many_rows(const MatmulArgs& a) {
  using Wide = typename Dot::Wide;
  const auto* x = static_cast<const typename Dot::XStorage*>(a.x);
  const auto* w = static_cast<const typename Dot::WStorage*>(a.w);
  typename Wide::Acc parked[kBlockM * kBlockN];
  alignas(64) typename Wide::XStorage wide_x[Dot::kWidenX ? kBlockM * Dot::kBlockK : 1];
  alignas(64) typename Wide::WStorage wide_w[Dot::kWidenW ? kBlockN * Dot::kBlockK : 1];

  // Up to two tiles of rows are bound by the reading of w: narrow blocks keep it in order.
  const size_t block_n = a.m <= 2 * kTileRows ? kTileCols : kBlockN;
  for (size_t i = 0; i < a.m; i += kBlockM) {
    for (size_t j = 0; j < a.n; j += block_n) {
      Block<Wide> block;
      block.rows = min_of(kBlockM, a.m - i);
      block.cols = min_of(block_n, a.n - j);
      block.y = a.y + i * a.y_stride + j;
      block.y_stride = a.y_stride;
      size_t p = 0;
      do {  // once for k = 0, which gives zeros
        block.k = min_of(Dot::kBlockK, a.k - p);
        block.first = p == 0;
        block.last = p + block.k == a.k;
        block.x = widened<Dot, Dot::kWidenX>(x + i * a.x_stride + p, a.x_stride, block.rows,
                                             block.k, wide_x, &block.x_stride);
        block.w = widened<Dot, Dot::kWidenW>(w + j * a.w_stride + p, a.w_stride, block.cols,
                                             block.k, wide_w, &block.w_stride);
        run_block<Wide>(block, parked);
        p += block.k;
      } while (p < a.k);
    }
  }
}

template <class Dot>
void matmul_nt(const MatmulArgs& a) {
  if (a.m == 0) return;
  if (a.m == 1) return few_rows<Dot, 1>(a);
  if (a.m == 2) return few_rows<Dot, 2>(a);
  if (a.m == 3) return few_rows<Dot, 3>(a);
  if constexpr (kTileRows >= 4) {
    if (a.m == 4) return few_rows<Dot, 4>(a);
  }
  many_rows<Dot>(a);
}
