// The kernels of training in plain C++, for any machine; products sum in double.
#include <bit>
#include <cmath>

#include "base/bf16.h"
#include "kernels/train_kernels.h"

namespace axk1 {
namespace {

void pair_product(const PairProductArgs& args) {
  const auto low = [](uint32_t pair) { return bf16_to_f32(static_cast<uint16_t>(pair)); };
  const auto high = [](uint32_t pair) { return bf16_to_f32(static_cast<uint16_t>(pair >> 16)); };
  for (size_t i = 0; i < args.m; ++i) {
    for (size_t j = 0; j < args.n; ++j) {
      float& y = args.y[i * args.y_stride + j];
      double sum = args.accumulate ? double{y} : 0.0;
      for (size_t p = 0; p < args.k; ++p) {
        const uint32_t a = args.a[i * args.a_row_stride + p * args.a_step_stride];
        const uint32_t b = args.b[p * kPairPanel + j];
        sum += double{low(a)} * double{low(b)} + double{high(a)} * double{high(b)};
      }
      y = static_cast<float>(sum);
    }
  }
}

void pack_pairs(const float* even, const float* odd, uint32_t* words, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const uint32_t high = odd ? f32_to_bf16(odd[i]) : 0;
    words[i] = high << 16 | f32_to_bf16(even[i]);
  }
}

float sum_squares(const float* x, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += double{x[i]} * double{x[i]};
  return static_cast<float>(sum);
}

void rms_norm_grad(const float* dy, const float* x, const float* w, float s, size_t n,
                   bool accumulate, float* dx, float* dw) {
  double dot = 0;
  for (size_t i = 0; i < n; ++i) dot += double{w[i]} * double{dy[i]} * double{x[i]};
  const auto shrink = static_cast<float>(dot / static_cast<double>(n) * double{s} * double{s});
  for (size_t i = 0; i < n; ++i) {
    dw[i] += s * dy[i] * x[i];
    const float d = s * (w[i] * dy[i] - x[i] * shrink);
    dx[i] = accumulate ? dx[i] + d : d;
  }
}

float swiglu_grad(const float* gate, const float* up, const float* da, float factor, float* d_gate,
                  float* d_up, size_t n) {
  double d_factor = 0;
  for (size_t i = 0; i < n; ++i) {
    const float sigmoid = 1 / (1 + std::exp(-gate[i])), silu = gate[i] * sigmoid;
    const float d = da[i] * factor;
    const float dg = d * up[i] * sigmoid * (1 + gate[i] * (1 - sigmoid));
    d_factor += double{da[i]} * double{silu} * double{up[i]};
    d_up[i] = d * silu;
    d_gate[i] = dg;
  }
  return static_cast<float>(d_factor);
}

void softmax_grad(const float* p, float delta, float scale, float* ds, size_t n) {
  for (size_t i = 0; i < n; ++i) ds[i] = p[i] * (ds[i] - delta) * scale;
}

}  // namespace

extern constinit const TrainKernels kRefTrainKernels;
constinit const TrainKernels kRefTrainKernels = {
    .name = "ref",
    .needs = 0,
    .pair_product = pair_product,
    .pack_pairs = pack_pairs,
    .sum_squares = sum_squares,
    .rms_norm_grad = rms_norm_grad,
    .swiglu_grad = swiglu_grad,
    .softmax_grad = softmax_grad,
};

}  // namespace axk1
