// latent_kernels.h in plain C++. Included inside the anonymous namespace of ref_kernels.cc, after
// its element types; includes nothing. Rows of q and acc lie one after the other.

const char* latent_row(const LatentTile& t, const LatentSpan& s, size_t position) {
  return static_cast<const char*>(s.blocks[position / kLatentBlockTokens]) +
         position % kLatentBlockTokens * t.row_bytes;
}

void clear_tile(const LatentTile& t) {
  for (size_t r = 0; r < t.rows; ++r) {
    t.max[r] = -std::numeric_limits<float>::infinity();
    t.sum[r] = 0;
  }
  for (size_t i = 0; i < t.rows * t.lora; ++i) t.acc[i] = 0;
}

// The scores of row r become exp(scale * score - maximum), 0 where not seen. Returns the factor for
// what was accumulated before.
float softmax_span(const LatentTile& t, const LatentSpan& s, size_t r) {
  const size_t seen = s.visible ? static_cast<size_t>(std::max(0, s.visible[r])) : s.num_positions;
  const size_t n = std::min(seen, s.num_positions);
  float* scores = t.scores + r * kLatentSpan;
  const float correction = n ? softmax_block(scores, n, t.scale, t.max + r, t.sum + r) : 1;
  std::fill(scores + n, scores + s.num_positions, 0.0f);
  return correction;
}

uint16_t* bf16_query(const LatentTile& t, size_t r) {
  return reinterpret_cast<uint16_t*>(t.q) + r * (t.lora + t.rope);
}

void latent_load_bf16(const LatentTile& t, const float* q, size_t q_stride, size_t num_rows) {
  clear_tile(t);
  for (size_t r = 0; r < t.rows; ++r) {
    // Rows of padding take the first query again.
    f32_to_bf16(q + (r < num_rows ? r : 0) * q_stride, bf16_query(t, r), t.lora + t.rope);
  }
}

void latent_attend_bf16(const LatentTile& t, const LatentSpan& s) {
  const auto number = [&](size_t p, size_t dim) {
    uint16_t bits;
    std::memcpy(&bits, latent_row(t, s, p) + dim * sizeof(bits), sizeof(bits));
    return BF16::load(bits);
  };
  for (size_t r = 0; r < t.rows; ++r) {
    float* scores = t.scores + r * kLatentSpan;
    for (size_t p = 0; p < s.num_positions; ++p) {
      double sum = 0;
      for (size_t i = 0; i < t.lora + t.rope; ++i) {
        sum += double{BF16::load(bf16_query(t, r)[i])} * number(p, i);
      }
      scores[p] = static_cast<float>(sum);
    }
    const float correction = softmax_span(t, s, r);
    uint16_t weights[kLatentSpan];
    f32_to_bf16(scores, weights, s.num_positions);
    for (size_t i = 0; i < t.lora; ++i) {
      float& acc = t.acc[r * t.lora + i];
      double sum = double{acc} * correction;
      for (size_t p = 0; p < s.num_positions; ++p) {
        sum += double{BF16::load(weights[p])} * number(p, i);
      }
      acc = static_cast<float>(sum);
    }
  }
}

struct Int8Query {
  float scale[2];  // of lora and rope
  const int8_t* bytes;
};
size_t int8_query_bytes(const LatentTile& t) {
  return (2 * sizeof(float) + t.lora + t.rope + 3) / 4 * 4;
}
Int8Query int8_query(const LatentTile& t, size_t r) {
  const char* at = reinterpret_cast<const char*>(t.q) + r * int8_query_bytes(t);
  Int8Query query;
  std::memcpy(query.scale, at, sizeof(query.scale));
  query.bytes = reinterpret_cast<const int8_t*>(at + sizeof(query.scale));
  return query;
}

float quantise_query(const float* x, size_t n, int8_t* bytes) {
  float amax = 0, not_finite = 0;
  for (size_t i = 0; i < n; ++i) {
    amax = std::max(amax, std::abs(x[i]));
    not_finite += x[i] * 0;
  }
  const float scale = amax * (1.0f / 127) + not_finite;
  const float inverse = scale > 0x1p-100f ? 1 / scale : 0;
  for (size_t i = 0; i < n; ++i) {
    const float steps = std::nearbyint(x[i] * inverse);
    bytes[i] = static_cast<int8_t>(std::isnan(steps) ? 0 : steps);
  }
  return scale;
}

void latent_load_int8(const LatentTile& t, const float* q, size_t q_stride, size_t num_rows) {
  clear_tile(t);
  for (size_t r = 0; r < t.rows; ++r) {
    char* at = reinterpret_cast<char*>(t.q) + r * int8_query_bytes(t);
    auto* bytes = reinterpret_cast<int8_t*>(at + 2 * sizeof(float));
    const float* x = q + (r < num_rows ? r : 0) * q_stride;
    const float scale[2] = {quantise_query(x, t.lora, bytes),
                            quantise_query(x + t.lora, t.rope, bytes + t.lora)};
    std::memcpy(at, scale, sizeof(scale));
  }
}

void latent_attend_int8(const LatentTile& t, const LatentSpan& s) {
  const auto header = [&](size_t p) {
    Int8LatentHeader h;
    std::memcpy(&h, latent_row(t, s, p), sizeof(h));
    return h;
  };
  const auto bytes = [&](size_t p) {
    return reinterpret_cast<const int8_t*>(latent_row(t, s, p) + sizeof(Int8LatentHeader));
  };
  const size_t rope_at = (t.lora + 3) / 4 * 4;
  for (size_t r = 0; r < t.rows; ++r) {
    const Int8Query q = int8_query(t, r);
    float* scores = t.scores + r * kLatentSpan;
    for (size_t p = 0; p < s.num_positions; ++p) {
      int32_t lora = 0, rope = 0;
      for (size_t i = 0; i < t.lora; ++i) lora += q.bytes[i] * bytes(p)[i];
      for (size_t i = 0; i < t.rope; ++i) rope += q.bytes[t.lora + i] * bytes(p)[rope_at + i];
      scores[p] = static_cast<float>(double{q.scale[0]} * header(p).lora_scale * lora +
                                     double{q.scale[1]} * header(p).rope_scale * rope);
    }
    const float correction = softmax_span(t, s, r);
    float max = 0x1p-100f;
    for (size_t p = 0; p < s.num_positions; ++p) {
      scores[p] *= header(p).lora_scale;
      max = std::max(max, scores[p]);
    }
    const float inverse = 255 / max;
    int32_t weights[kLatentSpan];
    for (size_t p = 0; p < s.num_positions; ++p) {
      const float steps = std::nearbyint(std::min(255.0f, scores[p] * inverse));
      weights[p] = std::isnan(steps) ? 0 : static_cast<int32_t>(steps);
    }
    for (size_t i = 0; i < t.lora; ++i) {
      int32_t sum = 0;
      for (size_t p = 0; p < s.num_positions; ++p) sum += weights[p] * bytes(p)[i];
      float& acc = t.acc[r * t.lora + i];
      acc = static_cast<float>(double{acc} * correction + double{max} / 255 * sum);
    }
  }
}

void latent_store(const LatentTile& t, float* out, size_t out_stride, size_t num_rows) {
  for (size_t r = 0; r < num_rows; ++r) {
    for (size_t i = 0; i < t.lora; ++i) {
      out[r * out_stride + i] = t.acc[r * t.lora + i] / t.sum[r];
    }
  }
}
