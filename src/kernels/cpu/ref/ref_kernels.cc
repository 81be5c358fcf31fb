// Plain C++: the definition that every other table is tested against. Sums in double.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/kernel_table.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

struct F32 {
  using Storage = float;
  static float load(float v) { return v; }
};
struct BF16 {
  using Storage = uint16_t;
  static float load(uint16_t v) { return std::bit_cast<float>(uint32_t{v} << 16); }
};
struct F16 {
  using Storage = uint16_t;
  static float load(uint16_t v) { return static_cast<float>(std::bit_cast<_Float16>(v)); }
};

template <class X, class W>
void matmul_nt(const MatmulArgs& a) {
  const auto* x = static_cast<const typename X::Storage*>(a.x);
  const auto* w = static_cast<const typename W::Storage*>(a.w);
  for (size_t i = 0; i < a.m; ++i) {
    for (size_t j = 0; j < a.n; ++j) {
      double sum = 0;
      for (size_t p = 0; p < a.k; ++p) {
        sum += double{X::load(x[i * a.x_stride + p])} * W::load(w[j * a.w_stride + p]);
      }
      a.y[i * a.y_stride + j] = static_cast<float>(sum);
    }
  }
}

template <class W>
void matmul_nn(const MatmulArgs& a) {
  const auto* x = static_cast<const float*>(a.x);
  const auto* w = static_cast<const typename W::Storage*>(a.w);
  for (size_t i = 0; i < a.m; ++i) {
    for (size_t j = 0; j < a.n; ++j) {
      double sum = a.y[i * a.y_stride + j];
      for (size_t p = 0; p < a.k; ++p) {
        sum += double{x[i * a.x_stride + p]} * W::load(w[p * a.w_stride + j]);
      }
      a.y[i * a.y_stride + j] = static_cast<float>(sum);
    }
  }
}

void quantize_row(const float* x, void* y, size_t n) {
  auto* q = static_cast<int8_t*>(y);
  auto* d = reinterpret_cast<float*>(q + activation_scales_at(n));
  auto* bias8 = reinterpret_cast<int32_t*>(d + num_blocks(n));
  int32_t* bias4 = bias8 + num_blocks(n);
  std::memset(y, 0, activation_row_bytes(n));
  for (size_t b = 0; b < num_blocks(n); ++b) {
    const size_t end = std::min(n, (b + 1) * kBlockCols);
    float largest = 0, nothing = 0;
    for (size_t c = b * kBlockCols; c < end; ++c) {
      largest = std::max(largest, std::fabs(x[c]));
      nothing += x[c] * 0;
    }
    if (nothing != 0) {  // NaN: some x is not finite
      d[b] = std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    d[b] = largest / 127;
    const float inverse = largest > 0 ? 127 / largest : 0;
    for (size_t c = b * kBlockCols; c < end; ++c) {
      q[c] = static_cast<int8_t>(std::nearbyint(x[c] * inverse));
      bias8[b] -= 128 * q[c];
      bias4[c / 16] -= kValueOffset * q[c];
    }
  }
}

template <DType kType>
void matmul_q(const QuantMatmulArgs& a) {
  int8_t w[kBlockCols];
  for (size_t i = 0; i < a.m; ++i) {
    const auto* q = static_cast<const int8_t*>(a.x) + i * a.x_stride;
    const auto* d = reinterpret_cast<const float*>(q + activation_scales_at(a.k));
    for (size_t j = 0; j < a.n; ++j) {
      float sum = 0;
      for (size_t b = 0; b < num_blocks(a.k); ++b) {
        const float d_w = quantized_block(kType, a.w, a.k, j, b, w);
        int product = 0;
        for (size_t c = 0; c < num_groups(a.k, b) * kGroupCols; ++c) {
          product += w[c] * q[b * kBlockCols + c];
        }
        sum = std::fma(static_cast<float>(product), d[b] * d_w, sum);
      }
      a.y[i * a.y_stride + j] = sum;
    }
  }
}

void rms_norm(const float* x, const float* weight, float eps, float* y, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += double{x[i]} * x[i];
  const double inverse = 1 / std::sqrt(sum / static_cast<double>(n) + eps);
  for (size_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i] * inverse) * weight[i];
}

void silu_mul(const float* gate, const float* up, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const double g = gate[i];
    y[i] = static_cast<float>(g / (1 + std::exp(-g)) * up[i]);
  }
}

float softmax_block(float* scores, size_t n, float scale, float* running_max, float* running_sum) {
  float max = *running_max;
  for (size_t i = 0; i < n; ++i) {
    const float s = scores[i] * scale;
    if (s > max) max = s;
  }
  // Where everything so far is masked, max - max would be NaN.
  const double shift = max == -std::numeric_limits<float>::infinity() ? 0 : max;
  const double correction = std::exp(*running_max - shift);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    const double e = std::exp(scores[i] * scale - shift);
    scores[i] = static_cast<float>(e);
    sum += e;
  }
  *running_sum = static_cast<float>(*running_sum * correction + sum);
  *running_max = max;
  return static_cast<float>(correction);
}

void add(const float* x, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += x[i];
}

void axpy(float a, const float* x, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += a * x[i];
}

void scale(float a, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] *= a;
}

void f32_to_bf16(const float* x, uint16_t* y, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[i]);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    y[i] =
        static_cast<uint16_t>(nan ? bits >> 16 | 0x40 : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
  }
}

void bf16_to_f32(const uint16_t* x, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = BF16::load(x[i]);
}

void f16_to_f32(const uint16_t* x, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = F16::load(x[i]);
}

#include "kernels/cpu/ref/ref_latent.inl"

}  // namespace

extern constinit const KernelTable kRefKernels;
constinit const KernelTable kRefKernels = {
    .name = "ref",
    .needs = 0,
    .matmul_nt = {matmul_nt<F32, F32>, matmul_nt<F32, BF16>, matmul_nt<F32, F16>,
                  matmul_nt<BF16, BF16>},
    .matmul_nn = {matmul_nn<F32>, matmul_nn<BF16>, matmul_nn<F16>, nullptr},
    .matmul_q = {matmul_q<DType::kQ8>, matmul_q<DType::kQ4>, matmul_q<DType::kQ3>},
    .quantize_row = quantize_row,
    .latent = {{1, latent_load_bf16, latent_attend_bf16, latent_store},
               {1, latent_load_int8, latent_attend_int8, latent_store}},
    .rms_norm = rms_norm,
    .silu_mul = silu_mul,
    .softmax_block = softmax_block,
    .add = add,
    .axpy = axpy,
    .scale = scale,
    .f32_to_bf16 = f32_to_bf16,
    .bf16_to_f32 = bf16_to_f32,
    .f16_to_f32 = f16_to_f32,
};

}  // namespace axk1
