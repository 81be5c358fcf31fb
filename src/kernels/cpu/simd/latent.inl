// Attention over the compressed cache (latent_kernels.h). Included inside the anonymous namespace
// of an instruction set's source file, after its vectors, words.inl and simd/exp.inl; includes
// nothing.
//
// The lanes of a vector are rows of the tile, so that nothing is summed across lanes and each row
// goes its own way. Numbers that are summed over lie side by side in 32-bit words: for the scores
// two (bf16) or four (int8) dims of one position, which is how cache rows lie in memory; for the
// values the same dim of two or four positions, into which each span is interleaved once for all
// rows. Both products are then the same loop: a word of the cache, broadcast, times a vector of
// rows.
//
// A Dot class has
//   Acc                        a vector of sums
//   mul_add(acc, rows, cell)   acc += the products of one word of each row with the word at cell
// and kMaxTileVecs, of the source file, is the most vectors of rows in a register tile.

template <size_t kN>
struct Count {
  static constexpr size_t value = kN;
};

// body(Count<vectors>, Count<cells>, first row) for tiles that cover `rows`: 16 sums (AVX2: 8).
template <class Body>
inline void for_row_tiles(size_t rows, Body&& body) {
  size_t r = 0;
  if constexpr (kMaxTileVecs >= 4) {
    for (; r + 4 * kLanes <= rows; r += 4 * kLanes) body(Count<4>(), Count<4>(), r);
  }
  for (; r + 2 * kLanes <= rows; r += 2 * kLanes) {
    body(Count<2>(), Count < kMaxTileVecs >= 4 ? 8 : 4 > (), r);
  }
  if constexpr (kMaxTileVecs >= 4) {
    for (; r < rows; r += kLanes) body(Count<1>(), Count<16>(), r);
  }
}

template <size_t kCells, size_t kVecs, class Body>
inline void for_tile(Body&& body) {
#pragma GCC unroll 16
  for (size_t i = 0; i < kCells; ++i) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) body(i, v);
  }
}

// What a register tile multiplies: words of the cache with vectors of rows. Step n takes the words
// at cells + i cell_stride + n step_bytes and the vectors at rows + n row_words.
struct TileSteps {
  const char* cells;
  size_t cell_stride, step_bytes;
  const uint32_t* rows;
  size_t row_words;
  size_t num_steps;
  // Memory to ask for meanwhile, a little further each step.
  const char* ahead;
  size_t ahead_step_bytes;
};

// Calls finish(i, v, sum of all products of cell i with vector v). A function by itself,
// because inlined into a larger one its sums are moved about in every step.
template <class Dot, size_t kCells, size_t kVecs, bool kFetch, class Finish>
[[gnu::noinline]] void run_tile(const TileSteps& tile, Finish finish) {
  typename Dot::Acc sums[kCells][kVecs];
  for_tile<kCells, kVecs>([&](size_t i, size_t v) { sums[i][v] = Dot::zero(); });
  const char* cells = tile.cells;
  const uint32_t* rows = tile.rows;
  const char* ahead = tile.ahead;
  for (size_t step = 0; step < tile.num_steps; ++step) {
    Words row_vecs[kVecs];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) row_vecs[v] = load_words(rows + v * kLanes);
    if constexpr (kFetch) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += tile.ahead_step_bytes;
    }
    for_tile<kCells, kVecs>([&](size_t i, size_t v) {
      sums[i][v] = Dot::mul_add(sums[i][v], row_vecs[v], cells + i * tile.cell_stride);
    });
    cells += tile.step_bytes;
    rows += tile.row_words;
  }
  for_tile<kCells, kVecs>([&](size_t i, size_t v) { finish(i, v, sums[i][v]); });
}

inline int32_t word_at(const char* p) {
  int32_t word;
  __builtin_memcpy(&word, p, sizeof(word));
  return word;
}
inline float float_at(const char* p) {
  float value;
  __builtin_memcpy(&value, p, sizeof(value));
  return value;
}

inline size_t smaller(size_t a, size_t b) {
  return a < b ? a : b;
}

inline const char* latent_row(const LatentTile& t, const LatentSpan& s, size_t position) {
  return static_cast<const char*>(s.blocks[position / kLatentBlockTokens]) +
         position % kLatentBlockTokens * t.row_bytes;
}

// scores(vectors, cells, first row, first position, its cache row) for every tile of the scores.
template <class Scores>
inline void for_score_tiles(const LatentTile& t, const LatentSpan& s, Scores&& scores) {
  for (size_t start = 0; start < s.num_positions; start += kLatentRowGrain) {
    const size_t n = smaller(s.num_positions - start, kLatentRowGrain);
    for_row_tiles(t.rows, [&](auto vecs, auto cells, size_t r) {
      for (size_t p = 0; p < n; p += cells.value) {
        scores(vecs, cells, r, start + p, latent_row(t, s, start + p));
      }
    });
  }
}

inline void clear_tile(const LatentTile& t, size_t acc_dims) {
  for (size_t r = 0; r < t.rows; ++r) {
    t.max[r] = -__builtin_inff();
    t.sum[r] = 0;
  }
  for (size_t i = 0; i < acc_dims * t.rows; i += kLanes) store(t.acc + i, zero());
}

// Scores [positions, rows] of kLanes rows become scaled scores, -infinity where not seen. Returns
// what to subtract before the exponential, sets the correction and the running maximum.
inline Vec begin_softmax(const LatentTile& t, const LatentSpan& s, size_t r, float* correction) {
  const Vec scale = broadcast(t.scale);
  const Vec masked = broadcast(-__builtin_inff());
  const Vec old_max = load(t.max + r);
  Vec max = old_max;
  for (size_t p = 0; p < s.num_positions; ++p) {
    float* at = t.scores + p * t.rows + r;
    Vec x = mul(load(at), scale);
    if (s.visible) x = keep_visible(x, s.visible + r, static_cast<int32_t>(p));
    store(at, x);
    max = max_skip_nan(x, max);
  }
  store(t.max + r, max);
  // Where all is masked the maximum stays -infinity, and nothing is subtracted.
  const Vec shift = zero_unless_above(max, masked);
  store(correction, exp(sub(old_max, shift)));
  return shift;
}

inline void end_softmax(const LatentTile& t, size_t r, Vec sum, const float* correction) {
  store(t.sum + r, fma(load(t.sum + r), load(correction), sum));
}

// acc = finish(sum over positions of probs and values, acc, row) for all dims. interleave(dim) lays
// kGroup chunks of kLanes dims, from `dim` on, out in t.values: [kGroup][groups][kLanes] words,
// each one dim of kGroup positions. Meanwhile asks for the next span, a part in each tile, since
// this product keeps only the arithmetic busy.
template <class Dot, size_t kGroup, class Interleave, class Finish>
inline void add_values(const LatentTile& t, const LatentSpan& s, Interleave&& interleave,
                       Finish finish) {
  const size_t groups = (s.num_positions + kGroup - 1) / kGroup;
  const size_t block_bytes = kLatentBlockTokens * t.row_bytes;
  const size_t next_bytes = s.next_positions * t.row_bytes;
  size_t next = 0;                                          // bytes asked for
  const size_t share = next_bytes / (t.lora * t.rows) + 1;  // bytes for one sum
  for (size_t dim = 0; dim < t.lora; dim += kGroup * kLanes) {
    interleave(dim);
    for (size_t chunk = 0; chunk < kGroup; ++chunk) {
      const char* words = reinterpret_cast<const char*>(t.values + chunk * groups * kLanes);
      for_row_tiles(t.rows, [&](auto vecs, auto cells, size_t r) {
        constexpr size_t kVecs = decltype(vecs)::value, kCells = decltype(cells)::value;
        const size_t stride = t.rows;
        for (size_t i0 = 0; i0 < kLanes; i0 += kCells) {
          float* acc = t.acc + (dim + chunk * kLanes + i0) * stride + r;
          TileSteps tile{.cells = words + i0 * sizeof(uint32_t),
                         .cell_stride = sizeof(uint32_t),
                         .step_bytes = kLanes * sizeof(uint32_t),
                         .rows = t.probs + r,
                         .row_words = stride,
                         .num_steps = groups,
                         .ahead = words,
                         .ahead_step_bytes = 0};
          if (next < next_bytes) {
            const size_t at = next % block_bytes, want = share * kCells * kVecs * kLanes;
            const size_t bytes = smaller(block_bytes - at, want);
            tile.ahead = static_cast<const char*>(s.next_blocks[next / block_bytes]) + at;
            tile.ahead_step_bytes = bytes / groups;
            next += bytes;
          }
          run_tile<Dot, kCells, kVecs, true>(tile, [=](size_t i, size_t v, auto sums) {
            float* y = acc + i * stride + v * kLanes;
            store(y, finish(sums, load(y), r + v * kLanes));
          });
        }
      });
    }
  }
}

// out [rows, lora] = acc / sum. dim_of(chunk, word) is the dim of a word of the chunk at `chunk`.
// Some rows at a time: rows that lie a power of two apart share few places of the cache.
template <class DimOf>
inline void store_dims(const LatentTile& t, float* out, size_t out_stride, size_t num_rows,
                       size_t acc_dims, DimOf&& dim_of) {
  constexpr size_t kRowsAtOnce = 8;
  for (size_t first = 0; first < num_rows; first += kRowsAtOnce) {
    const size_t count = num_rows - first < kRowsAtOnce ? num_rows - first : kRowsAtOnce;
    float inverse[kRowsAtOnce];
    for (size_t r = 0; r < count; ++r) inverse[r] = 1 / t.sum[first + r];
    for (size_t i = 0; i < acc_dims; ++i) {
      const size_t dim = dim_of(i / kLanes, i % kLanes);
      if (dim >= t.lora) continue;
      const float* acc = t.acc + i * t.rows + first;
      float* to = out + first * out_stride + dim;
      if (count == kRowsAtOnce) {
        for (size_t r = 0; r < kRowsAtOnce; ++r) to[r * out_stride] = acc[r] * inverse[r];
      } else {
        for (size_t r = 0; r < count; ++r) to[r * out_stride] = acc[r] * inverse[r];
      }
    }
  }
}
