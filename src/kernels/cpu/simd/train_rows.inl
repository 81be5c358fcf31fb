// Gradients along one row for training. Included inside the anonymous namespace of an instruction
// set's source file, after simd/exp.inl; includes nothing.

float sum_squares(const float* x, size_t n) {
  Vec sums[2] = {zero(), zero()};
  size_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Vec first = load(x + i), second = load(x + i + kLanes);
    sums[0] = fma(first, first, sums[0]);
    sums[1] = fma(second, second, sums[1]);
  }
  for_vectors(n - i, [&](size_t at, size_t count) {
    const Vec xv = load_some(x + i + at, count);
    sums[0] = fma(xv, xv, sums[0]);
  });
  return sum_lanes(add(sums[0], sums[1]));
}

void rms_norm_grad(const float* dy, const float* x, const float* w, float s, size_t n,
                   bool accumulate, float* dx, float* dw) {
  Vec dots = zero();
  for_vectors(n, [&](size_t at, size_t count) {
    const Vec wd = mul(load_some(w + at, count), load_some(dy + at, count));
    dots = fma(wd, load_some(x + at, count), dots);
  });
  const Vec shrink = broadcast(sum_lanes(dots) / static_cast<float>(n) * s * s);
  const Vec scale = broadcast(s);
  for_vectors(n, [&](size_t at, size_t count) {
    const Vec d = load_some(dy + at, count), xv = load_some(x + at, count);
    store_some(dw + at, fma(mul(scale, d), xv, load_some(dw + at, count)), count);
    const Vec inner = sub(mul(load_some(w + at, count), d), mul(xv, shrink));
    const Vec g = accumulate ? fma(scale, inner, load_some(dx + at, count)) : mul(scale, inner);
    store_some(dx + at, g, count);
  });
}

// sigmoid with exp(-|g|), as silu_mul has it.
float swiglu_grad(const float* gate, const float* up, const float* da, float factor, float* d_gate,
                  float* d_up, size_t n) {
  const Vec one = broadcast(1.0f), factors = broadcast(factor);
  Vec d_factor = zero();
  for_vectors(n, [&](size_t at, size_t count) {
    const Vec g = load_some(gate + at, count), u = load_some(up + at, count);
    const Vec d = load_some(da + at, count);
    const Vec e = exp(negative_abs(g));
    const Vec sigmoid = div(select_negative(g, e, one), add(one, e));
    const Vec silu = mul(g, sigmoid), scaled = mul(d, factors);
    d_factor = fma(mul(d, silu), u, d_factor);
    const Vec slope = mul(sigmoid, fma(g, sub(one, sigmoid), one));
    store_some(d_up + at, mul(scaled, silu), count);
    store_some(d_gate + at, mul(mul(scaled, u), slope), count);
  });
  return sum_lanes(d_factor);
}

void softmax_grad(const float* p, float delta, float scale, float* ds, size_t n) {
  const Vec deltas = broadcast(delta), scales = broadcast(scale);
  for_vectors(n, [&](size_t at, size_t count) {
    const Vec d = sub(load_some(ds + at, count), deltas);
    store_some(ds + at, mul(mul(load_some(p + at, count), d), scales), count);
  });
}
