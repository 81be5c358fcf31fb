// y = x wᵀ by dot products in vector registers. Included inside the anonymous namespace of an
// instruction set's source file, so that every copy stays private to its flags; includes nothing.
//
// A product is described by a class Dot:
//   XStorage, WStorage     element types in memory
//   X, W, Acc              vectors of kStep elements of x and of w; partial sums
//   load_x(p), load_x(p, n), load_w(p), load_w(p, n)   n < kStep elements, the rest zero
//   zero(), mul_add(acc, x, w)
//   sums(a, b, c, d) -> four floats in a Sums, each the sum of all lanes of one Acc
//   kBlockK                where k is cut, a multiple of kStep
//   kLoadsPairs            has load_w_pair(p, first, second): two vectors of w by one whole line
//   Wide                   a Dot with the same arithmetic on widened copies of x and w (made by
//                          Dot::widen), or Dot itself
//
// Row invariance: y[i, j] is one Acc stepping along k, then one fixed tree over its lanes, whatever
// tile it is part of. Blocking along k only parks the Acc in memory in between.

inline size_t min_of(size_t a, size_t b) {
  return a < b ? a : b;
}

// Every block is made of tiles of at most kTileRows x kTileCols sums. Parked sums (96 KiB) and
// widened copies stay well inside an L2 of 1 MiB; a tile's rows of x (kTileRows * kBlockK) stay in
// L1 while the rows of w pass by.
constexpr size_t kTileCols = 4;
constexpr size_t kBlockM = 48;  // a multiple of kTileRows
constexpr size_t kBlockN = 32;

// So many rows of x are bound by the reading of w, which blocks of one tile's columns keep in
// order; nor do they read a widened copy of w often enough to pay for it.
constexpr size_t kNarrowRows = 16;

// Where accumulate() asks for lines of w that later tiles will read. Memory is fastest read as one
// sequential run, so where whole rows are walked side by side the lines ahead are asked for in
// order: kLinearL1 a few KiB ahead, kLinearL2 (long rows) one tile ahead. kRows takes the same
// columns of the rows that come next in a block.
enum class Fetch { kNone, kLinearL1, kLinearL2, kRows };
constexpr size_t kNearBytes = 8192;

// The operands of one tile.
template <class Dot>
struct Tile {
  const typename Dot::XStorage* x;
  size_t x_stride;
  const typename Dot::WStorage* w;
  size_t w_stride;
  size_t cols;  // of w; those at or beyond it repeat the last one
  size_t k;
  const typename Dot::WStorage* ahead;  // for Fetch
};

template <class Dot, size_t kRows, size_t kCols>
struct TileRows {
  const typename Dot::XStorage* x[kRows];
  const typename Dot::WStorage* w[kCols];
};

// acc[i][j] += x[i] w[j] over the vectors at p; `count` is the elements of a tail. Whichever side
// has fewer vectors stays in registers.
template <class Dot, size_t kRows, size_t kCols, bool kTail>
inline void step(const TileRows<Dot, kRows, kCols>& rows, size_t p, size_t count,
                 typename Dot::Acc (&acc)[kRows][kCols]) {
  const auto load_x = [&](size_t i) {
    if constexpr (kTail) return Dot::load_x(rows.x[i] + p, count);
    return Dot::load_x(rows.x[i] + p);
  };
  const auto load_w = [&](size_t j) {
    if constexpr (kTail) return Dot::load_w(rows.w[j] + p, count);
    return Dot::load_w(rows.w[j] + p);
  };
  if constexpr (kRows < kCols) {
    typename Dot::X xv[kRows];
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) xv[i] = load_x(i);
#pragma GCC unroll 8
    for (size_t j = 0; j < kCols; ++j) {
      const typename Dot::W wv = load_w(j);
#pragma GCC unroll 8
      for (size_t i = 0; i < kRows; ++i) acc[i][j] = Dot::mul_add(acc[i][j], xv[i], wv);
    }
  } else {
    typename Dot::W wv[kCols];
#pragma GCC unroll 8
    for (size_t j = 0; j < kCols; ++j) wv[j] = load_w(j);
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) {
      const typename Dot::X xv = load_x(i);
#pragma GCC unroll 8
      for (size_t j = 0; j < kCols; ++j) acc[i][j] = Dot::mul_add(acc[i][j], xv, wv[j]);
    }
  }
}

template <class Dot, Fetch kFetch, size_t kCols, size_t kSteps = 1>
inline void fetch(const Tile<Dot>& t, size_t p) {
  using Storage = typename Dot::WStorage;
  if constexpr (kFetch == Fetch::kLinearL1 || kFetch == Fetch::kLinearL2) {
    const char* line = reinterpret_cast<const char*>(t.ahead + kCols * p);
#pragma GCC unroll 8
    for (size_t at = 0; at < kCols * kSteps * Dot::kStep * sizeof(Storage); at += 64) {
      __builtin_prefetch(line + at, 0, kFetch == Fetch::kLinearL1 ? 3 : 2);
    }
  }
  if constexpr (kFetch == Fetch::kRows) {
#pragma GCC unroll 8
    for (size_t j = 0; j < kCols; ++j) __builtin_prefetch(t.ahead + j * t.w_stride + p, 0, 3);
  }
}

// Two steps for one row of x, w loaded a line at a time: half of a line by each of two loads
// reaches nine tenths of the bandwidth that whole lines do.
template <class Dot, size_t kCols>
inline void step_pair(const TileRows<Dot, 1, kCols>& rows, size_t p,
                      typename Dot::Acc (&acc)[1][kCols]) {
  const typename Dot::X first_x = Dot::load_x(rows.x[0] + p);
  const typename Dot::X second_x = Dot::load_x(rows.x[0] + p + Dot::kStep);
#pragma GCC unroll 8
  for (size_t j = 0; j < kCols; ++j) {
    typename Dot::W first, second;
    Dot::load_w_pair(rows.w[j] + p, first, second);
    acc[0][j] = Dot::mul_add(Dot::mul_add(acc[0][j], first_x, first), second_x, second);
  }
}

// acc[i][j] += x[i, :] w[j, :].
template <class Dot, size_t kRows, size_t kCols, Fetch kFetch>
inline void accumulate(const Tile<Dot>& t, typename Dot::Acc (&acc)[kRows][kCols]) {
  TileRows<Dot, kRows, kCols> rows;
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) rows.x[i] = t.x + i * t.x_stride;
#pragma GCC unroll 8
  for (size_t j = 0; j < kCols; ++j) rows.w[j] = t.w + min_of(j, t.cols - 1) * t.w_stride;
  size_t p = 0;
  if constexpr (Dot::kLoadsPairs && kRows == 1 && kFetch == Fetch::kLinearL2) {
    for (; p + 2 * Dot::kStep <= t.k; p += 2 * Dot::kStep) {
      fetch<Dot, kFetch, kCols, 2>(t, p);
      step_pair(rows, p, acc);
    }
  }
  for (; p + Dot::kStep <= t.k; p += Dot::kStep) {
    fetch<Dot, kFetch, kCols>(t, p);
    step<Dot, kRows, kCols, false>(rows, p, 0, acc);
  }
  if (p < t.k) step<Dot, kRows, kCols, true>(rows, p, t.k - p, acc);
}

template <class Dot, size_t kCols>
inline void store_sums(const typename Dot::Acc (&acc)[kCols], float* y, size_t cols) {
#pragma GCC unroll 2
  for (size_t j = 0; j < kCols; j += 4) {
    const auto col = [&](size_t i) { return acc[i < kCols ? i : kCols - 1]; };
    const Sums sums = Dot::sums(col(j), col(j + 1), col(j + 2), col(j + 3));
    if (cols >= j + 4) {
      __builtin_memcpy(y + j, &sums, sizeof(sums));
    } else if (cols > j) {
      __builtin_memcpy(y + j, &sums, (cols - j) * sizeof(float));
    }
  }
}

template <class Dot, size_t kRows, size_t kCols, Fetch kFetch>
void whole_tile(const Tile<Dot>& t, float* y, size_t y_stride) {
  typename Dot::Acc acc[kRows][kCols];
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (size_t j = 0; j < kCols; ++j) acc[i][j] = Dot::zero();
  }
  accumulate<Dot, kRows, kCols, kFetch>(t, acc);
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) store_sums<Dot, kCols>(acc[i], y + i * y_stride, t.cols);
}

template <class Dot, size_t kRows, size_t kCols, Fetch kFetch>
void few_rows(const MatmulArgs& a) {
  const auto* w = static_cast<const typename Dot::WStorage*>(a.w);
  Tile<Dot> t{
      static_cast<const typename Dot::XStorage*>(a.x), a.x_stride, w, a.w_stride, 0, a.k, nullptr};
  const size_t ahead = kFetch == Fetch::kLinearL1 ? kNearBytes / sizeof(*w) : kCols * a.w_stride;
  for (size_t j = 0; j < a.n; j += kCols) {
    t.w = w + j * a.w_stride;
    t.cols = min_of(kCols, a.n - j);
    t.ahead = t.w + ahead;
    whole_tile<Dot, kRows, kCols, kFetch>(t, a.y + j, a.y_stride);
  }
}

// Up to three rows: every tile runs along the whole of k, so w is read once and in order. Long rows
// of w are walked some at a time, so that x, which they push out of L1, is read less often: eight,
// or where x is f32 and there are fewer lines on the way per product, three.
template <class Dot, size_t kRows>
void few_rows(const MatmulArgs& a) {
  constexpr bool kPairs = Dot::kLoadsPairs && kRows == 1;
  constexpr size_t kLongCols = kPairs ? 3 : kRows * 8 <= kMaxSums ? 8 : kTileCols;
  constexpr size_t kShortBytes = kPairs ? kNearBytes : 2 * kNearBytes;
  if (kTileCols * a.k * sizeof(typename Dot::WStorage) < kShortBytes) {
    few_rows<Dot, kRows, kTileCols, Fetch::kLinearL1>(a);
  } else {
    few_rows<Dot, kRows, kLongCols, Fetch::kLinearL2>(a);
  }
}

// A tile of a block whose k is cut: the sums go on from where the last part left them.
template <class Dot, size_t kRows, Fetch kFetch>
void parked_tile(const Tile<Dot>& t, typename Dot::Acc* parked, bool first, bool last, float* y,
                 size_t y_stride) {
  typename Dot::Acc acc[kRows][kTileCols];
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileCols; ++j) {
      acc[i][j] = first ? Dot::zero() : parked[i * kTileCols + j];
    }
  }
  accumulate<Dot, kRows, kTileCols, kFetch>(t, acc);
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
    if (last) {
      store_sums<Dot, kTileCols>(acc[i], y + i * y_stride, t.cols);
      continue;
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileCols; ++j) parked[i * kTileCols + j] = acc[i][j];
  }
}

// parked_tile for a number of rows known at run time, 1 to kTileRows.
template <class Dot, size_t kRows, Fetch kFetch, class... Rest>
inline void parked_tile_rows(size_t rows, const Rest&... rest) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return parked_tile_rows<Dot, kRows - 1, kFetch>(rows, rest...);
  }
  parked_tile<Dot, kRows, kFetch>(rest...);
}

// Up to kBlockM rows of x by kBlockN rows of w, over one cut of k.
template <class Dot>
struct Block {
  const typename Dot::XStorage* x;
  size_t x_stride;
  const typename Dot::WStorage* w;
  size_t w_stride;
  size_t rows, cols, k;
  bool first, last;  // cuts of k
  float* y;
  size_t y_stride;
  const typename Dot::WStorage* ahead = nullptr;  // for Fetch::kLinear*
};

template <class Dot, Fetch kFetch>
void run_block(const Block<Dot>& b, typename Dot::Acc* parked) {
  for (size_t i = 0; i < b.rows; i += kTileRows) {
    for (size_t j = 0; j < b.cols; j += kTileCols) {
      Tile<Dot> t;
      t.x = b.x + i * b.x_stride;
      t.x_stride = b.x_stride;
      t.w = b.w + j * b.w_stride;
      t.w_stride = b.w_stride;
      t.cols = min_of(kTileCols, b.cols - j);
      t.k = b.k;
      t.ahead = b.ahead;
      if constexpr (kFetch == Fetch::kRows) {
        // After the last tile come the first rows again, beyond this cut of k.
        t.ahead = j + kTileCols < b.cols ? t.w + kTileCols * b.w_stride : b.w + b.k;
      }
      typename Dot::Acc* sums = parked + i * kBlockN + j * kTileRows;
      float* y = b.y + i * b.y_stride + j;
      const size_t rows = min_of(kTileRows, b.rows - i);
      if (i == 0) {
        parked_tile_rows<Dot, kTileRows, kFetch>(rows, t, sums, b.first, b.last, y, b.y_stride);
      } else {
        parked_tile_rows<Dot, kTileRows, Fetch::kNone>(rows, t, sums, b.first, b.last, y,
                                                       b.y_stride);
      }
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

// Inner is Dot, or Dot::Wide to compute on widened copies of each block's operands.
template <class Dot, class Inner, size_t kCols, Fetch kFetch>
void many_rows(const MatmulArgs& a) {
  constexpr bool kWidenX = sizeof(typename Dot::XStorage) != sizeof(typename Inner::XStorage);
  constexpr bool kWidenW = sizeof(typename Dot::WStorage) != sizeof(typename Inner::WStorage);
  const auto* x = static_cast<const typename Dot::XStorage*>(a.x);
  const auto* w = static_cast<const typename Dot::WStorage*>(a.w);
  typename Inner::Acc parked[kBlockM * kBlockN];
  alignas(64) typename Inner::XStorage wide_x[kWidenX ? kBlockM * Dot::kBlockK : 1];
  alignas(64) typename Inner::WStorage wide_w[kWidenW ? kBlockN * Dot::kBlockK : 1];

  for (size_t i = 0; i < a.m; i += kBlockM) {
    for (size_t j = 0; j < a.n; j += kCols) {
      Block<Inner> block;
      block.rows = min_of(kBlockM, a.m - i);
      block.cols = min_of(kCols, a.n - j);
      block.y = a.y + i * a.y_stride + j;
      block.y_stride = a.y_stride;
      size_t p = 0;
      do {  // once for k = 0, which gives zeros
        block.k = min_of(Dot::kBlockK, a.k - p);
        block.first = p == 0;
        block.last = p + block.k == a.k;
        block.x = widened<Dot, kWidenX>(x + i * a.x_stride + p, a.x_stride, block.rows, block.k,
                                        wide_x, &block.x_stride);
        block.w = widened<Dot, kWidenW>(w + j * a.w_stride + p, a.w_stride, block.cols, block.k,
                                        wide_w, &block.w_stride);
        if constexpr (kFetch == Fetch::kLinearL1) block.ahead = block.w + kNearBytes / sizeof(*w);
        if constexpr (kFetch == Fetch::kLinearL2) {
          block.ahead = w + (j + kCols) * a.w_stride + kCols * p;
        }
        run_block<Inner, kFetch>(block, parked);
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
  if (a.m <= kNarrowRows) {
    if (kTileCols * a.k * sizeof(typename Dot::WStorage) < 2 * kNearBytes) {
      return many_rows<Dot, Dot, kTileCols, Fetch::kLinearL1>(a);
    }
    return many_rows<Dot, Dot, kTileCols, Fetch::kLinearL2>(a);
  }
  using Wide = typename Dot::Wide;
  constexpr bool kSameW = sizeof(typename Dot::WStorage) == sizeof(typename Wide::WStorage);
  many_rows<Dot, Wide, kBlockN, kSameW ? Fetch::kRows : Fetch::kNone>(a);
}
