// Products of bf16 pairs (kernels/train_kernels.h) on tiles of 16 rows of 16 pairs. A template over
// the unit, TileUnit or TileModel. Included inside the anonymous namespace of a source file, after
// amx/tile_config.inl and amx/transpose.inl; includes nothing.
//
// Operand b in panels is what a tile product takes as it lies, and so is a where its rows are
// contiguous. Every tile is whole: what is beyond m, n or k is zero in a padded copy. So one
// configuration serves all, and y[i, j] is the same sequence of operations in any product.

constexpr size_t kPairCut = 256;             // pairs of the sum at a time
constexpr size_t kPairRows = 2 * kTileRows;  // rows of a at a time

// The first `count` of 16 lanes.
inline __mmask16 lanes_of_tile(size_t count) {
  return static_cast<__mmask16>((1u << min_of(count, kTileRows)) - 1);
}

// A tile wherever it lies.
struct PairTile {
  const uint32_t* data;
  size_t stride;  // words
};

// Up to 32 rows of a over one cut of the sum: where they lie, or copied.
class PairRows {
 public:
  // k: pairs of this cut, from a on.
  void set(const PairProductArgs& args, const uint32_t* a, size_t rows, size_t k) {
    const bool by_rows = args.a_step_stride == 1;
    for (size_t half = 0; half * kTileRows < rows; ++half) {
      const size_t filled = min_of(kTileRows, rows - half * kTileRows);
      const uint32_t* from = a + half * kTileRows * args.a_row_stride;
      for (size_t p = 0; p < k; p += kTileRows) {
        const size_t pairs = min_of(kTileRows, k - p);
        PairTile& tile = tiles_[p / kTileRows][half];
        if (by_rows && filled == kTileRows && pairs == kTileRows) {
          tile = {from + p, args.a_row_stride};
          continue;
        }
        uint32_t(&to)[kTileRows][kTileRows] = copies_[p / kTileRows][half];
        tile = {to[0], kTileRows};
        if (by_rows) {
          copy(from + p, args.a_row_stride, filled, pairs, to);
        } else if (args.a_row_stride == 1) {
          copy_transposed(from + p * args.a_step_stride, args.a_step_stride, filled, pairs, to);
        } else {
          gather(args, from + p * args.a_step_stride, filled, pairs, to);
        }
      }
    }
  }
  PairTile tile(size_t step, size_t half) const { return tiles_[step][half]; }

 private:
  static void copy(const uint32_t* from, size_t stride, size_t rows, size_t pairs,
                   uint32_t (&to)[kTileRows][kTileRows]) {
    for (size_t i = 0; i < kTileRows; ++i) {
      const __mmask16 kept = i < rows ? lanes_of_tile(pairs) : __mmask16{0};
      _mm512_store_si512(to[i], _mm512_maskz_loadu_epi32(kept, from + i * stride));
    }
  }
  static void copy_transposed(const uint32_t* from, size_t stride, size_t rows, size_t pairs,
                              uint32_t (&to)[kTileRows][kTileRows]) {
    __m512i tile[kTileRows];
#pragma GCC unroll 16
    for (size_t p = 0; p < kTileRows; ++p) {
      const __mmask16 kept = p < pairs ? lanes_of_tile(rows) : __mmask16{0};
      tile[p] = _mm512_maskz_loadu_epi32(kept, from + p * stride);
    }
    transpose(tile);
#pragma GCC unroll 16
    for (size_t i = 0; i < kTileRows; ++i) _mm512_store_si512(to[i], tile[i]);
  }
  static void gather(const PairProductArgs& args, const uint32_t* from, size_t rows, size_t pairs,
                     uint32_t (&to)[kTileRows][kTileRows]) {
    __builtin_memset(to, 0, sizeof(to));
    for (size_t i = 0; i < rows; ++i) {
      for (size_t p = 0; p < pairs; ++p) {
        to[i][p] = from[i * args.a_row_stride + p * args.a_step_stride];
      }
    }
  }

  PairTile tiles_[kPairCut / kTileRows][2];
  alignas(64) uint32_t copies_[kPairCut / kTileRows][2][kTileRows][kTileRows];
};

// 16 x 16 of y that reach beyond its m rows or n columns, as a whole tile.
struct SumTile {
  alignas(64) float sums[kTileRows][kTileRows];

  void load(const float* y, size_t y_stride, size_t rows, size_t cols) {
    for (size_t i = 0; i < kTileRows; ++i) {
      const __mmask16 kept = i < rows ? lanes_of_tile(cols) : __mmask16{0};
      _mm512_store_ps(sums[i], _mm512_maskz_loadu_ps(kept, y + i * y_stride));
    }
  }
  void store(float* y, size_t y_stride, size_t rows, size_t cols) const {
    for (size_t i = 0; i < min_of(rows, kTileRows); ++i) {
      _mm512_mask_storeu_ps(y + i * y_stride, lanes_of_tile(cols), _mm512_load_ps(sums[i]));
    }
  }
};

// One of the four sums of a block; rows and cols: what is left of y from its corner on.
template <int kTile, class Unit>
void begin_sum(Unit& unit, bool accumulate, const float* y, size_t y_stride, size_t rows,
               size_t cols) {
  if (!accumulate) {
    unit.template zero<kTile>();
  } else if (rows >= kTileRows && cols >= kTileRows) {
    unit.template load<kTile>(y, y_stride * sizeof(float));
  } else {
    SumTile sums;
    sums.load(y, y_stride, rows, cols);
    unit.template load<kTile>(sums.sums, kRowBytes);
  }
}
template <int kTile, class Unit>
void end_sum(Unit& unit, float* y, size_t y_stride, size_t rows, size_t cols) {
  if (rows >= kTileRows && cols >= kTileRows) {
    unit.template store<kTile>(y, y_stride * sizeof(float));
  } else {
    SumTile sums;
    unit.template store<kTile>(sums.sums, kRowBytes);
    sums.store(y, y_stride, rows, cols);
  }
}

// y [rows, cols], at most 32 each, (+)= a b over k pairs. Tiles 0 to 3 are sums, 4 and 5 of a, 6
// and 7 of b; a tile of b that k does not fill lies in b_tail.
template <class Unit, bool kTwoRows, bool kTwoCols>
void pair_block(Unit& unit, const PairRows& a, const uint32_t* b, const uint32_t* b_tail, size_t k,
                bool accumulate, float* y, size_t y_stride, size_t rows, size_t cols) {
  float* lower = y + kTileRows * y_stride;
  begin_sum<0>(unit, accumulate, y, y_stride, rows, cols);
  if (kTwoCols) begin_sum<1>(unit, accumulate, y + kTileRows, y_stride, rows, cols - kTileRows);
  if (kTwoRows) begin_sum<2>(unit, accumulate, lower, y_stride, rows - kTileRows, cols);
  if (kTwoRows && kTwoCols) {
    begin_sum<3>(unit, accumulate, lower + kTileRows, y_stride, rows - kTileRows, cols - kTileRows);
  }
  constexpr size_t kStride = kPairPanel * sizeof(uint32_t);
  for (size_t p = 0; p < k; p += kTileRows) {
    const size_t step = p / kTileRows;
    const uint32_t* panel = p + kTileRows <= k ? b + p * kPairPanel : b_tail;
    const PairTile upper = a.tile(step, 0);
    unit.template load<4>(upper.data, upper.stride * sizeof(uint32_t));
    unit.template load<6>(panel, kStride);
    unit.template dot_bf16<0, 4, 6>();
    if (kTwoCols) {
      unit.template load<7>(panel + kTileRows, kStride);
      unit.template dot_bf16<1, 4, 7>();
    }
    if (kTwoRows) {
      const PairTile second = a.tile(step, 1);
      unit.template load<5>(second.data, second.stride * sizeof(uint32_t));
      unit.template dot_bf16<2, 5, 6>();
      if (kTwoCols) unit.template dot_bf16<3, 5, 7>();
    }
  }
  end_sum<0>(unit, y, y_stride, rows, cols);
  if (kTwoCols) end_sum<1>(unit, y + kTileRows, y_stride, rows, cols - kTileRows);
  if (kTwoRows) end_sum<2>(unit, lower, y_stride, rows - kTileRows, cols);
  if (kTwoRows && kTwoCols) {
    end_sum<3>(unit, lower + kTileRows, y_stride, rows - kTileRows, cols - kTileRows);
  }
}

template <class Unit>
void pair_product_tiles(Unit& unit, const PairProductArgs& args) {
  PairRows rows;
  alignas(64) uint32_t b_tail[kTileRows][kPairPanel];
  const TileConfig config;
  unit.configure(&config);
  size_t p = 0;
  do {  // once for k = 0, which gives zeros
    const size_t k = min_of(kPairCut, args.k - p);
    const uint32_t* b = args.b + p * kPairPanel;
    if (const size_t left = k % kTileRows) {
      __builtin_memcpy(b_tail, b + (k - left) * kPairPanel, left * sizeof(b_tail[0]));
      __builtin_memset(b_tail[left], 0, (kTileRows - left) * sizeof(b_tail[0]));
    }
    const bool accumulate = args.accumulate || p > 0;
    for (size_t i = 0; i < args.m; i += kPairRows) {
      const size_t m = min_of(kPairRows, args.m - i);
      rows.set(args, args.a + i * args.a_row_stride + p * args.a_step_stride, m, k);
      for (size_t j = 0; j < args.n; j += 2 * kTileRows) {
        const size_t n = min_of(2 * kTileRows, args.n - j);
        const auto block =
            m > kTileRows
                ? (n > kTileRows ? pair_block<Unit, true, true> : pair_block<Unit, true, false>)
                : (n > kTileRows ? pair_block<Unit, false, true> : pair_block<Unit, false, false>);
        block(unit, rows, b + j, b_tail[0] + j, k, accumulate, args.y + i * args.y_stride + j,
              args.y_stride, m, n);
      }
    }
    p += k;
  } while (p < args.k);
  unit.release();
}
