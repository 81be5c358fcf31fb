// Kernels that only training needs, as tables like those of kernels/kernel_table.h: products of
// bf16 pairs, and gradients along a row. Single-threaded, no allocation, arguments trusted.
//
// A pair is a 32-bit word: bf16 of an even step of the sum in its low half, of the odd step after
// it in the high half. Operand b comes in panels of kPairPanel columns, a row of words for each
// pair of steps; operand a is read one word for a row and a pair, wherever the strides say. So
// weights are packed once, activations row-major in bf16 are an `a` as they lie, and a product that
// sums over tokens takes pairs of neighbouring rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/kernel_table.h"

namespace axk1 {

inline constexpr size_t kPairPanel = 64;  // columns of a panel of b

// y[i, j] = (accumulate ? y[i, j] : 0) + sum over p < k of the two products of a(i, p) and b(p, j),
// with a(i, p) = a[i * a_row_stride + p * a_step_stride] and b(p, j) = b[p * kPairPanel + j]. The
// sum is f32, p ascending. y[i, j] depends on its own operands only, to the last bit.
struct PairProductArgs {
  const uint32_t* a;
  size_t a_row_stride, a_step_stride;  // words
  const uint32_t* b;                   // [k, kPairPanel]
  float* y;                            // [m, n]
  size_t y_stride;
  size_t m, n, k;  // n at most kPairPanel
  bool accumulate;
};

struct TrainKernels {
  const char* name;
  uint32_t needs;  // CpuFeature bits

  void (*pair_product)(const PairProductArgs& args);

  // words[i] = the pair of even[i] and odd[i], each rounded to bf16 (nearest, ties to even). odd
  // may be null: zeros.
  void (*pack_pairs)(const float* even, const float* odd, uint32_t* words, size_t n);

  // The sum of x².
  float (*sum_squares)(const float* x, size_t n);

  // Of y = x s w with s = (mean(x²) + eps)^-1/2:  dw += s dy x and
  // dx = (accumulate ? dx : 0) + s (w dy - s² x mean(w dy x)).
  void (*rms_norm_grad)(const float* dy, const float* x, const float* w, float s, size_t n,
                        bool accumulate, float* dx, float* dw);

  // Of a = factor silu(gate) up: d_gate, d_up; returns the gradient of factor. d_gate may be gate,
  // and d_up up.
  float (*swiglu_grad)(const float* gate, const float* up, const float* da, float factor,
                       float* d_gate, float* d_up, size_t n);

  // ds = p (ds - delta) scale.
  void (*softmax_grad)(const float* p, float delta, float scale, float* ds, size_t n);
};

// Every table of this build, best first; the last is plain C++ and runs everywhere.
std::span<const TrainKernels* const> all_train_kernels();

// The best table that needs nothing beyond `features`.
const TrainKernels& select_train_kernels(uint32_t features);

}  // namespace axk1
