// Latents in bf16. Included after simd/latent.inl; includes nothing.

inline size_t bf16_acc_dims(const LatentTile& t) {
  return (t.lora + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes);
}

// q: [words of two dims][rows].
inline void latent_load_bf16(const LatentTile& t, const float* q, size_t q_stride,
                             size_t num_rows) {
  clear_tile(t, bf16_acc_dims(t));
  for (size_t r = 0; r < t.rows; ++r) {
    // Rows of padding take the first query again.
    const float* x = q + (r < num_rows ? r : 0) * q_stride;
    for_vectors(t.lora + t.rope, [&](size_t at, size_t count) {
      uint16_t rounded[kLanes] = {};
      if (count) {
        store_bf16(rounded, load(x + at, count), count);
      } else {
        store_bf16(rounded, load(x + at));
      }
      uint32_t words[kLanes / 2];
      __builtin_memcpy(words, rounded, sizeof(words));
      const size_t num_words = count ? (count + 1) / 2 : kLanes / 2;
      for (size_t w = 0; w < num_words; ++w) t.q[(at / 2 + w) * t.rows + r] = words[w];
    });
  }
}

// Two non-negative floats (or NaN) to bf16, `low` in the lower half of each word.
inline Words bf16_pair(Vec low, Vec high) {
  const auto rounded = [](Vec v) {
    const Words bits = as_words(v);
    const Words odd = and_words(shift_right<16>(bits), broadcast_word(1));
    return add_int32(bits, add_int32(odd, broadcast_word(0x7fff)));
  };
  return or_words(shift_right<16>(rounded(low)),
                  and_words(rounded(high), broadcast_word(static_cast<int32_t>(0xffff0000u))));
}

inline void softmax_bf16(const LatentTile& t, const LatentSpan& s, float* correction) {
  for (size_t r = 0; r < t.rows; r += kLanes) {
    const Vec shift = begin_softmax(t, s, r, correction + r);
    Vec sum = zero();
    for (size_t p = 0; p < s.num_positions; p += 2) {
      const float* at = t.scores + p * t.rows + r;
      const Vec first = exp(sub(load(at), shift));
      sum = add(sum, first);
      Vec second = zero();
      if (p + 1 < s.num_positions) {
        second = exp(sub(load(at + t.rows), shift));
        sum = add(sum, second);
      }
      store_words(t.probs + p / 2 * t.rows + r, bf16_pair(first, second));
    }
    end_softmax(t, r, sum, correction + r);
  }
}

// Of 2 kLanes dims the first chunk takes the first four of each 8, the second one the others. A
// chunk has `pairs`, those beyond num_positions zero.
inline void interleave_bf16(const LatentTile& t, const LatentSpan& s, size_t dim, size_t pairs) {
  const size_t bytes = (t.lora - dim) * sizeof(uint16_t);
  uint32_t* out = t.values;
  for (size_t start = 0; start < s.num_positions; start += kLatentBlockTokens) {
    const size_t n = smaller(s.num_positions - start, kLatentBlockTokens);
    const char* row = latent_row(t, s, start) + dim * sizeof(uint16_t);
    for (size_t p = 0; p < n; p += 2, row += 2 * t.row_bytes, out += kLanes) {
      const Words a = load_bytes(row, bytes);
      const Words b = p + 1 < n ? load_bytes(row + t.row_bytes, bytes) : zero_words();
      store_words(out, low16(a, b));
      store_words(out + pairs * kLanes, high16(a, b));
    }
  }
  for (; out < t.values + pairs * kLanes; out += kLanes) {
    store_words(out, zero_words());
    store_words(out + pairs * kLanes, zero_words());
  }
}

template <class Dot>
void latent_attend_bf16(const LatentTile& t, const LatentSpan& s) {
  for_score_tiles(t, s, [&](auto vecs, auto cells, size_t r, size_t p, const char* row) {
    const size_t stride = t.rows;
    float* scores = t.scores + p * stride + r;
    run_tile<Dot, decltype(cells)::value, decltype(vecs)::value, false>(
        {.cells = row,
         .cell_stride = t.row_bytes,
         .step_bytes = sizeof(uint32_t),
         .rows = t.q + r,
         .row_words = stride,
         .num_steps = (t.lora + t.rope + 1) / 2},
        [=](size_t i, size_t v, Vec sum) { store(scores + i * stride + v * kLanes, sum); });
  });
  float correction[kMaxLatentRows];
  softmax_bf16(t, s, correction);
  const float* factors = correction;
  add_values<Dot, 2>(
      t, s, [&](size_t dim) { interleave_bf16(t, s, dim, (s.num_positions + 1) / 2); },
      [=](Vec sums, Vec old, size_t r) { return fma(old, load(factors + r), sums); });
}

inline void latent_store_bf16(const LatentTile& t, float* out, size_t out_stride, size_t num_rows) {
  store_dims(t, out, out_stride, num_rows, bf16_acc_dims(t), [](size_t chunk, size_t word) {
    return chunk / 2 * 2 * kLanes + word / 4 * 8 + chunk % 2 * 4 + word % 4;
  });
}
