// Latents in int8. Included after simd/latent.inl; includes nothing.
//
// Multiplication instructions take unsigned bytes of rows and signed ones of the cache. So a query
// byte is stored plus 128, and 128 times the sum of the cache row's bytes is taken off again.

inline size_t int8_acc_dims(const LatentTile& t) {
  return (t.lora + 4 * kLanes - 1) / (4 * kLanes) * (4 * kLanes);
}
inline size_t lora_words(const LatentTile& t) {
  return (t.lora + 3) / 4;
}
inline size_t rope_words(const LatentTile& t) {
  return (t.rope + 3) / 4;
}

// q begins with the scales of each row: [2, rows] floats, for lora and for rope.
inline float* q_scales(const LatentTile& t) {
  return reinterpret_cast<float*>(t.q);
}
inline const uint32_t* q_words(const LatentTile& t) {
  return t.q + 2 * t.rows;
}

// Column r of `words` [words of four dims][rows] = bytes 128 + round(x / scale), 128 beyond n.
// Returns the scale, NaN if x [n] is not finite.
inline float quantise_query(const float* x, size_t n, uint32_t* words, size_t rows, size_t r) {
  Vec max = zero(), not_finite = zero();
  for_vectors(n, [&](size_t at, size_t count) {
    const Vec v = load_some(x + at, count);
    max = max_skip_nan(absolute(v), max);
    not_finite = fma(v, zero(), not_finite);
  });
  const float scale = max_lanes(max) * (1.0f / 127) + sum_lanes(not_finite);
  const Vec inverse = broadcast(scale > 0x1p-100f ? 1 / scale : 0.0f);
  for_vectors(n, [&](size_t at, size_t count) {
    int32_t steps[kLanes];
    store_words(steps, to_int(mul(load_some(x + at, count), inverse)));
    for (size_t i = 0; i < (count ? count : kLanes); i += 4) {
      uint32_t word = 0;
      for (size_t j = 4; j-- > 0;) word = word << 8 | static_cast<uint8_t>(128 + steps[i + j]);
      words[(at + i) / 4 * rows + r] = word;
    }
  });
  return scale;
}

inline void latent_load_int8(const LatentTile& t, const float* q, size_t q_stride,
                             size_t num_rows) {
  clear_tile(t, int8_acc_dims(t));
  uint32_t* words = t.q + 2 * t.rows;
  for (size_t r = 0; r < t.rows; ++r) {
    // Rows of padding take the first query again.
    const float* x = q + (r < num_rows ? r : 0) * q_stride;
    q_scales(t)[r] = quantise_query(x, t.lora, words, t.rows, r);
    q_scales(t)[t.rows + r] =
        quantise_query(x + t.lora, t.rope, words + lora_words(t) * t.rows, t.rows, r);
  }
}

// One of the two parts of a cache row: bytes from its start to the numbers, to their scale and sum.
struct Int8Part {
  size_t offset, words, scale_at, sum_at;
  const uint32_t* q;
  const float* q_scales;
};

// scores = (kAdd: +=) the integer sums of one part times both scales.
template <class Dot, bool kAdd, size_t kCells, size_t kVecs>
inline void int8_scores(const LatentTile& t, const Int8Part& part, size_t r, size_t p,
                        const char* row) {
  const size_t stride = t.rows, row_bytes = t.row_bytes;
  float* scores = t.scores + p * stride + r;
  const float* q_scales = part.q_scales + r;
  const char* scale = row + part.scale_at;
  const char* sum = row + part.sum_at;
  run_tile<Dot, kCells, kVecs, false>(
      {.cells = row + part.offset,
       .cell_stride = row_bytes,
       .step_bytes = sizeof(uint32_t),
       .rows = part.q + r,
       .row_words = t.rows,
       .num_steps = part.words},
      [=](size_t i, size_t v, Words sums) {
        const Vec scales =
            mul(broadcast(float_at(scale + i * row_bytes)), load(q_scales + v * kLanes));
        float* y = scores + i * stride + v * kLanes;
        const Words excess = broadcast_word(-128 * word_at(sum + i * row_bytes));
        const Vec product = mul(to_float(add_int32(sums, excess)), scales);
        store(y, kAdd ? add(load(y), product) : product);
      });
}

// Weights in bytes, four positions to a word; step_size is what one step of a byte is worth.
inline void softmax_int8(const LatentTile& t, const LatentSpan& s, float* correction,
                         float* step_size) {
  for (size_t r = 0; r < t.rows; r += kLanes) {
    const Vec shift = begin_softmax(t, s, r, correction + r);
    Vec sum = zero(), max = zero();
    for (size_t p = 0; p < s.num_positions; ++p) {
      float* at = t.scores + p * t.rows + r;
      const Vec e = exp(sub(load(at), shift));
      sum = add(sum, e);
      const char* row = latent_row(t, s, p);
      const Vec weight = mul(e, broadcast(float_at(row + offsetof(Int8LatentHeader, lora_scale))));
      max = max_skip_nan(weight, max);
      store(at, weight);
    }
    // Smaller ones need no finer steps, and would overflow the quotient.
    max = max_keep_nan(broadcast(0x1p-100f), max);
    const Vec most = broadcast(255.0f);
    const Vec inverse = div(most, max);
    for (size_t p = 0; p < s.num_positions; p += 4) {
      const auto byte = [&](size_t i) {
        if (p + i >= s.num_positions) return zero_words();
        return to_int(min_keep_nan(most, mul(load(t.scores + (p + i) * t.rows + r), inverse)));
      };
      const Words low = or_words(byte(0), shift_left<8>(byte(1)));
      const Words high = or_words(shift_left<16>(byte(2)), shift_left<24>(byte(3)));
      store_words(t.probs + p / 4 * t.rows + r, or_words(low, high));
    }
    store(step_size + r, mul(max, broadcast(1.0f / 255)));
    end_softmax(t, r, sum, correction + r);
  }
}

// Of 4 kLanes dims chunk i takes 4 i .. 4 i + 3 of each 16. A chunk has `fours`, those beyond
// num_positions zero.
inline void interleave_int8(const LatentTile& t, const LatentSpan& s, size_t dim, size_t fours) {
  uint32_t* out = t.values;
  for (size_t start = 0; start < s.num_positions; start += kLatentBlockTokens) {
    const size_t n = smaller(s.num_positions - start, kLatentBlockTokens);
    const char* at = latent_row(t, s, start) + sizeof(Int8LatentHeader) + dim;
    for (size_t p = 0; p < n; p += 4, at += 4 * t.row_bytes, out += kLanes) {
      Words row[4];
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        row[i] = p + i < n ? load_bytes(at + i * t.row_bytes, t.lora - dim) : zero_words();
      }
      const Words ab = low8(row[0], row[1]), cd = low8(row[2], row[3]);
      const Words ab_high = high8(row[0], row[1]), cd_high = high8(row[2], row[3]);
      store_words(out + 0 * fours * kLanes, low16(ab, cd));
      store_words(out + 1 * fours * kLanes, high16(ab, cd));
      store_words(out + 2 * fours * kLanes, low16(ab_high, cd_high));
      store_words(out + 3 * fours * kLanes, high16(ab_high, cd_high));
    }
  }
  for (; out < t.values + fours * kLanes; out += kLanes) {
    for (size_t i = 0; i < 4; ++i) store_words(out + i * fours * kLanes, zero_words());
  }
}

template <class Dot>
void latent_attend_int8(const LatentTile& t, const LatentSpan& s) {
  const Int8Part lora{sizeof(Int8LatentHeader),
                      lora_words(t),
                      offsetof(Int8LatentHeader, lora_scale),
                      offsetof(Int8LatentHeader, lora_sum),
                      q_words(t),
                      q_scales(t)};
  const Int8Part rope{lora.offset + 4 * lora.words,           rope_words(t),
                      offsetof(Int8LatentHeader, rope_scale), offsetof(Int8LatentHeader, rope_sum),
                      lora.q + lora.words * t.rows,           lora.q_scales + t.rows};
  for_score_tiles(t, s, [&](auto vecs, auto cells, size_t r, size_t p, const char* row) {
    constexpr size_t kCells = decltype(cells)::value, kVecs = decltype(vecs)::value;
    int8_scores<Dot, false, kCells, kVecs>(t, lora, r, p, row);
    int8_scores<Dot, true, kCells, kVecs>(t, rope, r, p, row);
  });
  float correction[kMaxLatentRows], step_size[kMaxLatentRows];
  softmax_int8(t, s, correction, step_size);
  const float* factors = correction;
  const float* steps = step_size;
  add_values<Dot, 4>(
      t, s, [&](size_t dim) { interleave_int8(t, s, dim, (s.num_positions + 3) / 4); },
      [=](Words sums, Vec old, size_t r) {
        return fma(to_float(sums), load(steps + r), mul(old, load(factors + r)));
      });
}

inline void latent_store_int8(const LatentTile& t, float* out, size_t out_stride, size_t num_rows) {
  store_dims(t, out, out_stride, num_rows, int8_acc_dims(t), [](size_t chunk, size_t word) {
    return chunk / 4 * 4 * kLanes + word / 4 * 16 + chunk % 4 * 4 + word % 4;
  });
}
