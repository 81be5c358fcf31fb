// Attention over the compressed cache (latent_kernels.h) on tiles of 16 rows of 64 bytes. Templates
// over the unit, TileUnit or TileModel. Included inside the anonymous namespace of a source file,
// after amx/tile_config.inl, amx/transpose.inl, simd/latent_bf16.inl and latent_int8.inl with all
// that they need; includes nothing.
//
//   scores  c[16 positions, 16 rows] += a[16 positions, 64 bytes] b[64 bytes, 16 rows]: cache rows
//           as they lie, and queries in words (two or four dims), [words][16 rows]
//   values  c[16 rows, 16 dims] += a[16 rows, 64 bytes] b[64 bytes, 16 dims]: the weights of each
//           row, transposed after the softmax, and words of two or four positions, interleaved once
//           for all rows
//
// Orders known here alone, in pieces of 16 x 16 words:
//   q       [row tile][words of a query, rounded up to whole tiles][16 rows]
//   probs   [words of positions][rows], each 16 x 16 of it transposed
//   acc     [row tile][16 dims of a chunk][16 rows][16 words]
//
// Every tile is whole, what is beyond the dims or positions zero or not used: one configuration
// serves all, and a row's result is the same sequence of operations in any tile.

constexpr size_t kTileElements = kTileRows * kTileRows;

inline size_t whole_tiles(size_t n) {
  return (n + kTileRows - 1) / kTileRows * kTileRows;
}

// A tile in memory.
struct TileAt {
  const void* data;
  size_t stride_bytes;
};

// 64 bytes of 16 cache rows: where they lie, or a zero-padded copy of the last ones.
inline TileAt cache_tile(const char* row, size_t row_bytes, size_t bytes,
                         char (&padded)[kTileRows][kRowBytes]) {
  if (bytes >= kRowBytes) return {row, row_bytes};
  for (size_t i = 0; i < kTileRows; ++i) {
    store_words(padded[i], load_bytes(row + i * row_bytes, bytes));
  }
  return {padded, kRowBytes};
}

// The products of tiles, by what the words hold.
struct PairsOfBF16 {
  template <int kC, int kA, int kB, class Unit>
  static void dot(Unit& unit) {
    unit.template dot_bf16<kC, kA, kB>();
  }
};
struct SignedByUnsigned {
  template <int kC, int kA, int kB, class Unit>
  static void dot(Unit& unit) {
    unit.template dot_s8_u8<kC, kA, kB>();
  }
};
struct UnsignedBySigned {
  template <int kC, int kA, int kB, class Unit>
  static void dot(Unit& unit) {
    unit.template dot_u8_s8<kC, kA, kB>();
  }
};

// Tiles 0 to 3 are the sums of a[0] b[0], a[0] b[1], a[1] b[0] and a[1] b[1]; of two operands the
// second may be missing.
template <class Unit>
void zero_sums(Unit& unit) {
  unit.template zero<0>();
  unit.template zero<1>();
  unit.template zero<2>();
  unit.template zero<3>();
}
template <class Dot, bool kTwoA, bool kTwoB, class Unit>
void add_products(Unit& unit, const TileAt (&a)[2], const TileAt (&b)[2]) {
  unit.template load<4>(a[0].data, a[0].stride_bytes);
  unit.template load<6>(b[0].data, b[0].stride_bytes);
  Dot::template dot<0, 4, 6>(unit);
  if constexpr (kTwoB) {
    unit.template load<7>(b[1].data, b[1].stride_bytes);
    Dot::template dot<1, 4, 7>(unit);
  }
  if constexpr (kTwoA) {
    unit.template load<5>(a[1].data, a[1].stride_bytes);
    Dot::template dot<2, 5, 6>(unit);
    if constexpr (kTwoB) Dot::template dot<3, 5, 7>(unit);
  }
}
// To sums[a][b], of which a[1] is a_stride and b[1] b_stride elements further.
template <bool kTwoA, bool kTwoB, class Unit, class T>
void store_sums(Unit& unit, T* sums, size_t a_stride, size_t b_stride, size_t row_stride) {
  unit.template store<0>(sums, row_stride * sizeof(T));
  if constexpr (kTwoB) unit.template store<1>(sums + b_stride, row_stride * sizeof(T));
  if constexpr (kTwoA) unit.template store<2>(sums + a_stride, row_stride * sizeof(T));
  if constexpr (kTwoA && kTwoB) {
    unit.template store<3>(sums + a_stride + b_stride, row_stride * sizeof(T));
  }
}

// body(Flag<whether there is a second>, first) for pairs of tiles that cover n.
template <bool kValue>
struct Flag {
  static constexpr bool value = kValue;
};
template <class Body>
inline void for_tile_pairs(size_t n, Body&& body) {
  size_t at = 0;
  for (; at + kTileRows < n; at += 2 * kTileRows) body(Flag<true>(), at);
  if (at < n) body(Flag<false>(), at);
}

// One part of the dims: where it begins in a cache row and in the words of a query.
struct ScorePart {
  size_t offset, bytes;  // of a cache row
  const uint32_t* q;
  size_t q_words;  // of all parts, from one row tile to the next
};

// Adds the products of up to 32 positions from p on and 32 rows from r on to the sums.
template <class Dot, bool kTwoA, bool kTwoB, class Unit>
void add_scores(Unit& unit, const LatentTile& t, const LatentSpan& s, const ScorePart& part,
                size_t p, size_t r) {
  alignas(64) char padded[2][kTileRows][kRowBytes];
  const char* rows[2] = {latent_row(t, s, p) + part.offset,
                         latent_row(t, s, kTwoA ? p + kTileRows : p) + part.offset};
  const uint32_t* q = part.q + r * part.q_words;
  const size_t next_q = kTileRows * part.q_words;
  for (size_t at = 0; at < part.bytes; at += kRowBytes, q += kTileElements) {
    const size_t bytes = part.bytes - at;
    const TileAt a[2] = {cache_tile(rows[0] + at, t.row_bytes, bytes, padded[0]),
                         cache_tile(rows[1] + at, t.row_bytes, bytes, padded[1])};
    add_products<Dot, kTwoA, kTwoB>(unit, a, {{q, kRowBytes}, {q + next_q, kRowBytes}});
  }
}

// Asks for the next span, a share at each call.
class FetchNext {
 public:
  FetchNext(const LatentTile& t, const LatentSpan& s, size_t calls)
      : blocks_(s.next_blocks),
        block_bytes_(kLatentBlockTokens * t.row_bytes),
        bytes_(s.next_positions * t.row_bytes),
        share_(bytes_ / calls + kRowBytes) {}

  void some() {
    for (size_t end = at_ + share_; at_ < end && at_ < bytes_; at_ += kRowBytes) {
      __builtin_prefetch(static_cast<const char*>(blocks_[at_ / block_bytes_]) + at_ % block_bytes_,
                         0, 2);
    }
  }

 private:
  const void* const* blocks_;
  size_t block_bytes_, bytes_, share_, at_ = 0;
};

// Transposes the weights of all rows; words beyond `words` of the last tile become zero.
inline void transpose_probs(const LatentTile& t, size_t words) {
  for (size_t w = 0; w < words; w += kTileRows) {
    for (size_t r = 0; r < t.rows; r += kTileRows) {
      uint32_t* at = t.probs + w * t.rows + r;
      Words v[kTileRows];
#pragma GCC unroll 16
      for (size_t i = 0; i < kTileRows; ++i) {
        v[i] = w + i < words ? load_words(at + i * t.rows) : zero_words();
      }
      transpose(v);
#pragma GCC unroll 16
      for (size_t i = 0; i < kTileRows; ++i) store_words(at + i * t.rows, v[i]);
    }
  }
}

// Rows of padding take the first query again.
inline const float* query_row(const float* q, size_t q_stride, size_t r, size_t num_rows) {
  return q + (r < num_rows ? r : 0) * q_stride;
}

// bf16

inline size_t bf16_words(const LatentTile& t) {
  return (t.lora + t.rope + 1) / 2;
}

inline void latent_load_bf16_tiles(const LatentTile& t, const float* q, size_t q_stride,
                                   size_t num_rows) {
  clear_tile(t, bf16_acc_dims(t));
  const size_t dims = t.lora + t.rope;
  uint32_t* out = t.q;
  for (size_t r = 0; r < t.rows; r += kTileRows) {
    for (size_t at = 0; at < dims; at += 2 * kLanes, out += kTileElements) {
      const size_t low = smaller(dims - at, kLanes), high = smaller(dims - at - low, kLanes);
      Words v[kTileRows];
      for (size_t i = 0; i < kTileRows; ++i) {
        const float* x = query_row(q, q_stride, r + i, num_rows) + at;
        v[i] = _mm512_inserti64x4(_mm512_castsi256_si512(to_bf16(load(x, low))),
                                  to_bf16(load(x + low, high)), 1);
      }
      transpose(v);
#pragma GCC unroll 16
      for (size_t i = 0; i < kTileRows; ++i) store_words(out + i * kTileRows, v[i]);
    }
  }
}

template <class Unit>
void latent_attend_bf16_tiles(const LatentTile& t, const LatentSpan& s) {
  Unit unit;
  const TileConfig config;
  unit.configure(&config);
  const ScorePart part{0, 4 * bf16_words(t), t.q, whole_tiles(bf16_words(t))};
  for_tile_pairs(t.rows, [&](auto two_rows, size_t r) {
    for_tile_pairs(s.num_positions, [&](auto two, size_t p) {
      constexpr bool kTwoA = decltype(two)::value, kTwoB = decltype(two_rows)::value;
      zero_sums(unit);
      add_scores<PairsOfBF16, kTwoA, kTwoB>(unit, t, s, part, p, r);
      store_sums<kTwoA, kTwoB>(unit, t.scores + p * t.rows + r, kTileRows * t.rows, kTileRows,
                               t.rows);
    });
  });
  float correction[kMaxLatentRows];
  softmax_bf16(t, s, correction);
  const size_t pairs = (s.num_positions + 1) / 2, padded = whole_tiles(pairs);
  transpose_probs(t, pairs);

  const size_t chunks = bf16_acc_dims(t) / kLanes;
  for (size_t r = 0; r < t.rows; ++r) {
    if (correction[r] == 1) continue;
    const Vec factor = broadcast(correction[r]);
    float* acc = t.acc + (r / kTileRows * chunks * kTileRows + r % kTileRows) * kLanes;
    for (size_t c = 0; c < chunks; ++c, acc += kTileElements) store(acc, mul(load(acc), factor));
  }
  FetchNext next(t, s, chunks / 2 * (whole_tiles(t.rows) / kTileRows + 1) / 2 * padded / kTileRows);
  for (size_t c = 0; c < chunks; c += 2) {
    interleave_bf16(t, s, c * kLanes, padded);
    for_tile_pairs(t.rows, [&](auto two_rows, size_t r) {
      constexpr bool kTwo = decltype(two_rows)::value;
      float* acc = t.acc + (r / kTileRows * chunks + c) * kTileElements;
      unit.template load<0>(acc, kRowBytes);
      unit.template load<1>(acc + kTileElements, kRowBytes);
      if constexpr (kTwo) {
        unit.template load<2>(acc + chunks * kTileElements, kRowBytes);
        unit.template load<3>(acc + (chunks + 1) * kTileElements, kRowBytes);
      }
      for (size_t w = 0; w < padded; w += kTileRows) {
        next.some();
        const uint32_t* probs = t.probs + w * t.rows + r;
        const uint32_t* values = t.values + w * kLanes;
        add_products<PairsOfBF16, kTwo, true>(
            unit, {{probs, t.rows * sizeof(*probs)}, {probs + kTileRows, t.rows * sizeof(*probs)}},
            {{values, kRowBytes}, {values + padded * kLanes, kRowBytes}});
      }
      store_sums<kTwo, true>(unit, acc, chunks * kTileElements, kTileElements, kTileRows);
    });
  }
  unit.release();
}

// out = acc / sum. gather(chunks of a row, out of 16 dims) by the order in which chunks hold dims.
template <size_t kGroup, class Order>
inline void store_chunks(const LatentTile& t, float* out, size_t out_stride, size_t num_rows,
                         size_t acc_dims, Order&& order) {
  const size_t chunks = acc_dims / kLanes;
  for (size_t r = 0; r < num_rows; ++r) {
    const Vec inverse = broadcast(1 / t.sum[r]);
    const float* acc = t.acc + (r / kTileRows * chunks * kTileRows + r % kTileRows) * kLanes;
    float* y = out + r * out_stride;
    for (size_t c = 0; c < chunks; c += kGroup, acc += kGroup * kTileElements) {
      Vec v[kGroup];
#pragma GCC unroll 4
      for (size_t i = 0; i < kGroup; ++i) v[i] = mul(load(acc + i * kTileElements), inverse);
      order(v);
      for (size_t i = 0; i < kGroup; ++i) {
        const size_t dim = (c + i) * kLanes;
        if (dim < t.lora) store(y + dim, v[i], smaller(t.lora - dim, kLanes));
      }
    }
  }
}

inline void latent_store_bf16_tiles(const LatentTile& t, float* out, size_t out_stride,
                                    size_t num_rows) {
  store_chunks<2>(t, out, out_stride, num_rows, bf16_acc_dims(t), [](Vec(&v)[2]) {
    const Words low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const Words high = add_int32(low, broadcast_word(8));
    const Vec first = v[0];
    v[0] = _mm512_permutex2var_ps(first, low, v[1]);
    v[1] = _mm512_permutex2var_ps(first, high, v[1]);
  });
}

// int8

inline size_t int8_tile_words(const LatentTile& t) {
  return whole_tiles(lora_words(t)) + whole_tiles(rope_words(t));
}

inline void latent_load_int8_tiles(const LatentTile& t, const float* q, size_t q_stride,
                                   size_t num_rows) {
  clear_tile(t, int8_acc_dims(t));
  const size_t words = int8_tile_words(t), lora = whole_tiles(lora_words(t));
  uint32_t* out = t.q + 2 * t.rows;
  for (size_t i = 0; i < words * t.rows; i += kLanes) store_words(out + i, zero_words());
  for (size_t r = 0; r < t.rows; ++r) {
    const float* x = query_row(q, q_stride, r, num_rows);
    uint32_t* tile = out + r / kTileRows * words * kTileRows;
    const size_t column = r % kTileRows;
    q_scales(t)[r] = quantise_query(x, t.lora, tile, kTileRows, column);
    q_scales(t)[t.rows + r] =
        quantise_query(x + t.lora, t.rope, tile + lora * kTileRows, kTileRows, column);
  }
}

// Integer sums of up to two tiles by two, of the lora and of the rope part.
struct IntSums {
  alignas(64) int32_t at[2][2][2][kTileRows][kTileRows];  // [part][position tile][row tile]
};

// The scores of up to 32 positions by 32 rows from their sums.
template <bool kTwoA, bool kTwoB>
inline void scale_scores(const LatentTile& t, const LatentSpan& s, const IntSums& sums, size_t p,
                         size_t r) {
  for (size_t a = 0; a < (kTwoA ? 2 : 1); ++a) {
    const char* row = latent_row(t, s, p + a * kTileRows);
    for (size_t i = 0; i < kTileRows; ++i, row += t.row_bytes) {
      const Vec lora_scale = broadcast(float_at(row + offsetof(Int8LatentHeader, lora_scale)));
      const Vec rope_scale = broadcast(float_at(row + offsetof(Int8LatentHeader, rope_scale)));
      const Words lora_excess =
          broadcast_word(-128 * word_at(row + offsetof(Int8LatentHeader, lora_sum)));
      const Words rope_excess =
          broadcast_word(-128 * word_at(row + offsetof(Int8LatentHeader, rope_sum)));
#pragma GCC unroll 2
      for (size_t b = 0; b < (kTwoB ? 2 : 1); ++b) {
        const size_t column = r + b * kTileRows;
        const Vec lora = mul(to_float(add_int32(load_words(sums.at[0][a][b][i]), lora_excess)),
                             mul(lora_scale, load(q_scales(t) + column)));
        const Vec rope = mul(to_float(add_int32(load_words(sums.at[1][a][b][i]), rope_excess)),
                             mul(rope_scale, load(q_scales(t) + t.rows + column)));
        store(t.scores + (p + a * kTileRows + i) * t.rows + column, add(lora, rope));
      }
    }
  }
}

template <class Unit>
void latent_attend_int8_tiles(const LatentTile& t, const LatentSpan& s) {
  Unit unit;
  const TileConfig config;
  unit.configure(&config);
  IntSums sums;
  const size_t words = int8_tile_words(t);
  const ScorePart parts[2] = {{sizeof(Int8LatentHeader), 4 * lora_words(t), q_words(t), words},
                              {sizeof(Int8LatentHeader) + 4 * lora_words(t), 4 * rope_words(t),
                               q_words(t) + whole_tiles(lora_words(t)) * kTileRows, words}};
  for_tile_pairs(t.rows, [&](auto two_rows, size_t r) {
    for_tile_pairs(s.num_positions, [&](auto two, size_t p) {
      constexpr bool kTwoA = decltype(two)::value, kTwoB = decltype(two_rows)::value;
      for (size_t part = 0; part < 2; ++part) {
        zero_sums(unit);
        add_scores<SignedByUnsigned, kTwoA, kTwoB>(unit, t, s, parts[part], p, r);
        store_sums<kTwoA, kTwoB>(unit, sums.at[part][0][0][0], 2 * kTileElements, kTileElements,
                                 kTileRows);
      }
      scale_scores<kTwoA, kTwoB>(t, s, sums, p, r);
    });
  });
  float correction[kMaxLatentRows], step_size[kMaxLatentRows];
  softmax_int8(t, s, correction, step_size);
  const size_t fours = (s.num_positions + 3) / 4, padded = whole_tiles(fours);
  transpose_probs(t, fours);

  const size_t chunks = int8_acc_dims(t) / kLanes;
  FetchNext next(t, s, chunks / 2 * (t.rows / kTileRows + 1) / 2 * padded / kTileRows);
  for (size_t c = 0; c < chunks; c += 4) {
    interleave_int8(t, s, c * kLanes, padded);
    for (size_t half = 0; half < 4; half += 2) {
      for_tile_pairs(t.rows, [&](auto two_rows, size_t r) {
        constexpr bool kTwo = decltype(two_rows)::value;
        zero_sums(unit);
        for (size_t w = 0; w < padded; w += kTileRows) {
          next.some();
          const uint32_t* probs = t.probs + w * t.rows + r;
          const uint32_t* values = t.values + (half * padded + w) * kLanes;
          add_products<UnsignedBySigned, kTwo, true>(
              unit,
              {{probs, t.rows * sizeof(*probs)}, {probs + kTileRows, t.rows * sizeof(*probs)}},
              {{values, kRowBytes}, {values + padded * kLanes, kRowBytes}});
        }
        store_sums<kTwo, true>(unit, sums.at[0][0][0][0], 2 * kTileElements, kTileElements,
                               kTileRows);
        for (size_t a = 0; a < (kTwo ? 2 : 1); ++a) {
          const size_t row = r + a * kTileRows;
          float* acc = t.acc + (row / kTileRows * chunks + c + half) * kTileElements;
          for (size_t i = 0; i < kTileRows; ++i, acc += kLanes) {
            const Vec step = broadcast(step_size[row + i]);
            const Vec factor = broadcast(correction[row + i]);
#pragma GCC unroll 2
            for (size_t b = 0; b < 2; ++b) {
              float* y = acc + b * kTileElements;
              store(y, fma(to_float(load_words(sums.at[0][a][b][i])), step, mul(load(y), factor)));
            }
          }
        }
      });
    }
  }
  unit.release();
}

inline void latent_store_int8_tiles(const LatentTile& t, float* out, size_t out_stride,
                                    size_t num_rows) {
  store_chunks<4>(t, out, out_stride, num_rows, int8_acc_dims(t), [](Vec(&v)[4]) {
    // Part j of chunk i is part i of 16 dims j.
    const Vec a = _mm512_shuffle_f32x4(v[0], v[1], 0x44),
              b = _mm512_shuffle_f32x4(v[0], v[1], 0xee);
    const Vec c = _mm512_shuffle_f32x4(v[2], v[3], 0x44),
              d = _mm512_shuffle_f32x4(v[2], v[3], 0xee);
    v[0] = _mm512_shuffle_f32x4(a, c, 0x88);
    v[1] = _mm512_shuffle_f32x4(a, c, 0xdd);
    v[2] = _mm512_shuffle_f32x4(b, d, 0x88);
    v[3] = _mm512_shuffle_f32x4(b, d, 0xdd);
  });
}
