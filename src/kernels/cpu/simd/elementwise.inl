// Kernels along one row. Included inside the anonymous namespace of an instruction set's source
// file; includes nothing. A tail is computed in a vector padded with zeros, so an element's result
// does not depend on n or on where it stands.

void rms_norm(const float* x, const float* weight, float eps, float* y, size_t n) {
  Vec squares[4] = {zero(), zero(), zero(), zero()};
  size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (size_t v = 0; v < 4; ++v) {
      const Vec xv = load(x + i + v * kLanes);
      squares[v] = fma(xv, xv, squares[v]);
    }
  }
  for_vectors(n - i, [&](size_t at, size_t count) {
    const Vec xv = load_some(x + i + at, count);
    squares[0] = fma(xv, xv, squares[0]);
  });
  const float sum = sum_lanes(add(add(squares[0], squares[1]), add(squares[2], squares[3])));
  const Vec inverse = broadcast(1.0f / __builtin_sqrtf(sum / static_cast<float>(n) + eps));
  for_vectors(n, [&](size_t at, size_t count) {
    const Vec scaled = mul(load_some(x + at, count), inverse);
    store_some(y + at, mul(scaled, load_some(weight + at, count)), count);
  });
}

// g sigmoid(g) with exp(-|g|), which cannot overflow: e / (1 + e) for negative g, 1 / (1 + e) else.
void silu_mul(const float* gate, const float* up, float* y, size_t n) {
  for_vectors(n, [&](size_t at, size_t count) {
    const Vec g = load_some(gate + at, count);
    const Vec e = exp(negative_abs(g));
    const Vec numerator = select_negative(g, mul(g, e), g);
    const Vec silu = div(numerator, add(broadcast(1.0f), e));
    store_some(y + at, mul(silu, load_some(up + at, count)), count);
  });
}

float softmax_block(float* scores, size_t n, float scale, float* running_max, float* running_sum) {
  const float kMasked = -__builtin_inff();
  const Vec scale_vec = broadcast(scale);
  Vec maxima = broadcast(*running_max);
  for_vectors(n, [&](size_t at, size_t count) {
    const Vec scaled = mul(load_some(scores + at, count), scale_vec);
    maxima = max_skip_nan(count ? keep(scaled, count, kMasked) : scaled, maxima);
  });
  const float max = max_lanes(maxima);
  const float shift = max == kMasked ? 0.0f : max;
  const Vec shift_vec = broadcast(shift);

  Vec sums = zero();
  for_vectors(n, [&](size_t at, size_t count) {
    const Vec scaled = mul(load_some(scores + at, count), scale_vec);
    const Vec e = exp(sub(scaled, shift_vec));
    store_some(scores + at, e, count);
    sums = add(sums, count ? keep(e, count, 0.0f) : e);
  });
  const float correction = first_lane(exp(broadcast(*running_max - shift)));
  *running_sum = *running_sum * correction + sum_lanes(sums);
  *running_max = max;
  return correction;
}

void add_to(const float* x, float* y, size_t n) {
  for_vectors(n, [&](size_t at, size_t count) {
    store_some(y + at, add(load_some(y + at, count), load_some(x + at, count)), count);
  });
}

void axpy(float a, const float* x, float* y, size_t n) {
  const Vec av = broadcast(a);
  for_vectors(n, [&](size_t at, size_t count) {
    store_some(y + at, fma(av, load_some(x + at, count), load_some(y + at, count)), count);
  });
}

void scale(float a, float* y, size_t n) {
  const Vec av = broadcast(a);
  for_vectors(n, [&](size_t at, size_t count) {
    store_some(y + at, mul(av, load_some(y + at, count)), count);
  });
}

template <class Type>
void to_f32(const uint16_t* x, float* y, size_t n) {
  for_vectors(n, [&](size_t at, size_t count) {
    store_some(y + at, count ? Type::load(x + at, count) : Type::load(x + at), count);
  });
}

void f32_to_bf16(const float* x, uint16_t* y, size_t n) {
  for_vectors(n, [&](size_t at, size_t count) {
    if (count) {
      store_bf16(y + at, load(x + at, count), count);
    } else {
      store_bf16(y + at, load(x + at));
    }
  });
}
