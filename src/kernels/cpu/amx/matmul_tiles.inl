// y = x wᵀ for bf16 on tiles of 16 rows of 64 bytes. A template over the unit, TileUnit or
// TileModel. Included inside the anonymous namespace of a source file, after tile_config.inl
// and transpose.inl; includes nothing.
//
// A tile product is c[16, 16] += a[16, 32] b[32, 16], where b holds pairs of consecutive k beside
// each other. w is the left operand: its rows are read as they lie in memory, and only the few rows
// of x are rearranged (b[k/2][i] = the pair x[i, k..k+1]). So c is a piece of yᵀ.
//
// Every tile is whole: what is beyond m, n or k is zero in a padded copy. So one configuration
// serves all, and y[i, j] is the same sequence of operations, k ascending by 32, in any batch.

constexpr size_t kTileK = 32;              // bf16 elements of a row of 64 bytes
constexpr size_t kBlockM = 2 * kTileRows;  // rows of x in one pass over 32 rows of w
constexpr size_t kBlocksM = 4;             // passes while those are in L2
constexpr size_t kBlockN = 1024;           // rows of w that share a packing of x
constexpr size_t kBlockK = 1024;

// Two tiles b for each step of kTileK: the first and the last 16 of kBlockM rows.
struct PackedX {
  alignas(64) uint32_t pairs[kBlockK / kTileK][2][kTileRows][kTileRows];
};

// x [rows, k] from kTileK * step on; zeros beyond rows and k.
inline void pack_x(const uint16_t* x, size_t x_stride, size_t rows, size_t k, PackedX& packed) {
  for (size_t step = 0; step * kTileK < k; ++step) {
    const size_t left = min_of(kTileK, k - step * kTileK);
    for (size_t half = 0; half * kTileRows < rows; ++half) {
      const size_t filled = min_of(kTileRows, rows - half * kTileRows);
      const auto kept = static_cast<__mmask32>((uint64_t{1} << left) - 1);
      const uint16_t* from = x + half * kTileRows * x_stride + step * kTileK;
      __m512i tile[kTileRows];
#pragma GCC unroll 16
      for (size_t i = 0; i < kTileRows; ++i) {
        tile[i] = _mm512_maskz_loadu_epi16(i < filled ? kept : 0, from + i * x_stride);
      }
      transpose(tile);
#pragma GCC unroll 16
      for (size_t i = 0; i < kTileRows; ++i) {
        _mm512_store_si512(packed.pairs[step][half][i], tile[i]);
      }
    }
  }
}

// A tile of w: where it lies, or a padded copy where it reaches beyond the rows or k.
struct WTile {
  const void* data;
  size_t stride_bytes;
};
inline WTile w_tile(const uint16_t* w, size_t w_stride, size_t rows, size_t k,
                    uint16_t (&padded)[kTileRows][kTileK]) {
  if (rows >= kTileRows && k >= kTileK) return {w, w_stride * sizeof(uint16_t)};
  __builtin_memset(padded, 0, sizeof(padded));
  for (size_t j = 0; j < min_of(rows, kTileRows); ++j) {
    __builtin_memcpy(padded[j], w + j * w_stride, min_of(k, kTileK) * sizeof(uint16_t));
  }
  return {padded, kRowBytes};
}

// Sums of 16 rows of w by the 16 rows of x of each half.
struct Sums {
  alignas(64) float c[2][kTileRows][kTileRows];  // [half][w row][x row]
};

// Adds the products of 32 rows of w (two Sums) over one cut of k; tiles 0 to 3 are sums, 4 and 5 of
// w, 6 and 7 of x. rows may be less than 32, also less than 16. With `fetch` asks for the next 32.
template <class Unit, bool kTwoHalves>
void add_products(Unit& unit, const PackedX& x, const uint16_t* w, size_t w_stride, size_t rows,
                  size_t k, bool first, bool fetch, Sums* sums) {
  alignas(64) uint16_t padded[2][kTileRows][kTileK];
  const bool two_tiles = rows > kTileRows;
  if (first) {
    unit.template zero<0>();
    unit.template zero<1>();
    unit.template zero<2>();
    unit.template zero<3>();
  } else {
    unit.template load<0>(sums[0].c[0], kRowBytes);
    if (kTwoHalves) unit.template load<1>(sums[0].c[1], kRowBytes);
    if (two_tiles) unit.template load<2>(sums[1].c[0], kRowBytes);
    if (two_tiles && kTwoHalves) unit.template load<3>(sums[1].c[1], kRowBytes);
  }
  for (size_t step = 0; step * kTileK < k; ++step) {
    const size_t at = step * kTileK;
    // So many rows side by side are more streams than the hardware follows.
    for (size_t r = 0; fetch && r < 2 * kTileRows; ++r) {
      __builtin_prefetch(w + (2 * kTileRows + r) * w_stride + at, 0, 2);
    }
    const WTile a0 = w_tile(w + at, w_stride, rows, k - at, padded[0]);
    unit.template load<4>(a0.data, a0.stride_bytes);
    unit.template load<6>(x.pairs[step][0], kRowBytes);
    unit.template dot_bf16<0, 4, 6>();
    if (kTwoHalves) {
      unit.template load<7>(x.pairs[step][1], kRowBytes);
      unit.template dot_bf16<1, 4, 7>();
    }
    if (two_tiles) {
      const WTile a1 =
          w_tile(w + kTileRows * w_stride + at, w_stride, rows - kTileRows, k - at, padded[1]);
      unit.template load<5>(a1.data, a1.stride_bytes);
      unit.template dot_bf16<2, 5, 6>();
      if (kTwoHalves) unit.template dot_bf16<3, 5, 7>();
    }
  }
  unit.template store<0>(sums[0].c[0], kRowBytes);
  if (kTwoHalves) unit.template store<1>(sums[0].c[1], kRowBytes);
  if (two_tiles) unit.template store<2>(sums[1].c[0], kRowBytes);
  if (two_tiles && kTwoHalves) unit.template store<3>(sums[1].c[1], kRowBytes);
}

// y [rows, cols] = sums, which are yᵀ in pieces of 16 x 16.
inline void store_sums(const Sums* sums, size_t rows, size_t cols, float* y, size_t y_stride) {
  for (size_t half = 0; half * kTileRows < rows; ++half) {
    for (size_t c = 0; c < cols; c += kTileRows) {
      __m512i tile[kTileRows];
#pragma GCC unroll 16
      for (size_t i = 0; i < kTileRows; ++i) {
        tile[i] = _mm512_load_si512(sums[c / kTileRows].c[half][i]);
      }
      transpose(tile);
      const auto kept = static_cast<__mmask16>((1u << min_of(kTileRows, cols - c)) - 1);
#pragma GCC unroll 16
      for (size_t i = 0; i < kTileRows; ++i) {
        const size_t row = half * kTileRows + i;
        if (row < rows) _mm512_mask_storeu_epi32(y + row * y_stride + c, kept, tile[i]);
      }
    }
  }
}

template <class Unit>
void matmul_nt_tiles(Unit& unit, const MatmulArgs& a) {
  const auto* x = static_cast<const uint16_t*>(a.x);
  const auto* w = static_cast<const uint16_t*>(a.w);
  PackedX packed[kBlocksM];                  // 256 KiB
  Sums sums[kBlocksM][kBlockN / kTileRows];  // 512 KiB
  const TileConfig config;
  unit.configure(&config);
  for (size_t i = 0; i < a.m; i += kBlocksM * kBlockM) {
    const size_t left = min_of(kBlocksM * kBlockM, a.m - i);
    const size_t blocks = (left + kBlockM - 1) / kBlockM;
    const auto rows_of = [&](size_t b) { return min_of(kBlockM, left - b * kBlockM); };
    for (size_t j = 0; j < a.n; j += kBlockN) {
      const size_t cols = min_of(kBlockN, a.n - j);
      size_t p = 0;
      do {  // once for k = 0, which gives zeros
        const size_t k = min_of(kBlockK, a.k - p);
        for (size_t b = 0; b < blocks; ++b) {
          pack_x(x + (i + b * kBlockM) * a.x_stride + p, a.x_stride, rows_of(b), k, packed[b]);
        }
        for (size_t c = 0; c < cols; c += 2 * kTileRows) {
          for (size_t b = 0; b < blocks; ++b) {
            const auto add =
                rows_of(b) > kTileRows ? add_products<Unit, true> : add_products<Unit, false>;
            add(unit, packed[b], w + (j + c) * a.w_stride + p, a.w_stride,
                min_of(2 * kTileRows, cols - c), k, p == 0, b == 0, sums[b] + c / kTileRows);
          }
        }
        p += k;
      } while (p < a.k);
      for (size_t b = 0; b < blocks; ++b) {
        store_sums(sums[b], rows_of(b), cols, a.y + (i + b * kBlockM) * a.y_stride + j, a.y_stride);
      }
    }
  }
  unit.release();
}
