#include "train/fast_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/bits.h"
#include "base/check.h"
#include "ops/rope.h"

namespace axk1 {
namespace {

constexpr size_t kNormBlock = 64;  // tokens whose norm gradients are summed together

}  // namespace

FastOps::FastOps(const ParamStore& params, const KernelTable& kernels, ThreadPool& pool,
                 DType compute)
    : params_(params),
      kernels_(kernels),
      train_kernels_(select_train_kernels(kernels.needs)),
      pool_(pool),
      bf16_(compute == DType::kBF16),
      products_(params, kernels, train_kernels_, pool, compute),
      head_scratch_(static_cast<size_t>(pool.num_threads())) {}

void FastOps::rms_norm(const float* x, size_t x_stride, const NormParam& w, double eps, size_t n,
                       float* y, float* inverse_rms) {
  const auto epsilon = static_cast<float>(eps);
  for_rows(n, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      const float* row = x + t * x_stride;
      const float mean = train_kernels_.sum_squares(row, w.size) / static_cast<float>(w.size);
      inverse_rms[t] = 1 / std::sqrt(mean + epsilon);
      kernels_.rms_norm(row, param(w.offset), epsilon, y + t * w.size, w.size);
    }
  });
}

void FastOps::rms_norm_backward(const float* dy, const float* x, size_t x_stride,
                                const float* inverse_rms, const NormParam& w, size_t n, float* dx,
                                size_t dx_stride, bool accumulate) {
  const size_t blocks = ceil_div(n, kNormBlock);
  partial_.resize(std::max(partial_.size(), blocks * w.size));
  pool_.parallel_for(blocks, 1, [&](size_t first, size_t last) {
    for (size_t b = first; b < last; ++b) {
      float* sums = partial_.data() + b * w.size;
      std::fill_n(sums, w.size, 0.0f);
      for (size_t t = b * kNormBlock; t < std::min(n, (b + 1) * kNormBlock); ++t) {
        train_kernels_.rms_norm_grad(dy + t * w.size, x + t * x_stride, param(w.offset),
                                     inverse_rms[t], w.size, accumulate, dx + t * dx_stride, sums);
      }
    }
  });
  for (size_t b = 0; b < blocks; ++b) {
    kernels_.add(partial_.data() + b * w.size, gradients_ + w.offset, w.size);
  }
}

void FastOps::rope(float* x, const RopeShape& shape, size_t n, const float* cos, const float* sin,
                   bool inverse) {
  constexpr size_t kMaxHalf = 512;
  AXK1_CHECK(shape.half <= kMaxHalf);
  for_rows(n, [&](size_t begin, size_t end) {
    float pairs[2 * kMaxHalf];
    for (size_t t = begin; t < end; ++t) {
      const float* c = cos + t * shape.half;
      const float* s = sin + t * shape.half;
      for (size_t h = 0; h < shape.num_heads; ++h) {
        float* at = x + t * shape.row_stride + h * shape.head_stride;
        if (!inverse) {
          axk1::rope(at, shape.half, c, s, shape.interleave);
          continue;
        }
        for (size_t i = 0; i < shape.half; ++i) {
          pairs[i] = at[i] * c[i] + at[shape.half + i] * s[i];
          pairs[shape.half + i] = at[shape.half + i] * c[i] - at[i] * s[i];
        }
        for (size_t i = 0; i < shape.half; ++i) {
          at[shape.interleave ? 2 * i : i] = pairs[i];
          at[shape.interleave ? 2 * i + 1 : shape.half + i] = pairs[shape.half + i];
        }
      }
    }
  });
}

void FastOps::swiglu(const float* gate_up, size_t width, size_t n, const float* factors,
                     float* act) {
  for_rows(n, [&](size_t begin, size_t end) {
    for (size_t r = begin; r < end; ++r) {
      const float* gate = gate_up + 2 * r * width;
      kernels_.silu_mul(gate, gate + width, act + r * width, width);
      if (factors) kernels_.scale(factors[r], act + r * width, width);
    }
  });
}

void FastOps::swiglu_backward(const float* gate_up, const float* d_act, size_t width, size_t n,
                              const float* factors, float* d_gate_up, float* d_factors) {
  for_rows(n, [&](size_t begin, size_t end) {
    for (size_t r = begin; r < end; ++r) {
      const float* gate = gate_up + 2 * r * width;
      float* d_gate = d_gate_up + 2 * r * width;
      const float d_factor =
          train_kernels_.swiglu_grad(gate, gate + width, d_act + r * width,
                                     factors ? factors[r] : 1.0f, d_gate, d_gate + width, width);
      if (factors) d_factors[r] = d_factor;
    }
  });
}

void FastOps::router(const MatrixParam& w, const float* x, size_t n, float* logits) {
  for_rows(n, [&](size_t begin, size_t end) {
    kernels_.matmul_nt[static_cast<size_t>(MatmulTypes::kF32F32)]({.x = x + begin * w.cols,
                                                                   .x_stride = w.cols,
                                                                   .w = param(w.offset),
                                                                   .w_stride = w.cols,
                                                                   .y = logits + begin * w.rows,
                                                                   .y_stride = w.rows,
                                                                   .m = end - begin,
                                                                   .n = w.rows,
                                                                   .k = w.cols});
  });
}

void FastOps::router_backward(const MatrixParam& w, const float* x, const int32_t* experts,
                              const float* d_logits, size_t top_k, size_t n, float* dx) {
  for_rows(n, [&](size_t begin, size_t end) {
    for (size_t i = begin * top_k; i < end * top_k; ++i) {
      kernels_.axpy(d_logits[i], param(w.offset + static_cast<size_t>(experts[i]) * w.cols),
                    dx + i / top_k * w.cols, w.cols);
    }
  });
  // Each expert's row by one thread, tokens in order.
  pool_.parallel_for(w.rows, 1, [&](size_t first, size_t last) {
    for (size_t i = 0; i < n * top_k; ++i) {
      const auto expert = static_cast<size_t>(experts[i]);
      if (expert < first || expert >= last) continue;
      kernels_.axpy(d_logits[i], x + i / top_k * w.cols, gradients_ + w.offset + expert * w.cols,
                    w.cols);
    }
  });
}

void FastOps::embed(const MatrixParam& w, const int32_t* ids, size_t n, float* h) {
  for_rows(n, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      std::copy_n(param(w.offset + static_cast<size_t>(ids[t]) * w.cols), w.cols, h + t * w.cols);
    }
  });
}

// Each thread has columns of its own, of every token in order.
void FastOps::embed_backward(const MatrixParam& w, const int32_t* ids, size_t n, const float* dh) {
  pool_.parallel_for(w.cols, 16, [&](size_t begin, size_t end) {
    for (size_t t = 0; t < n; ++t) {
      float* to = gradients_ + w.offset + static_cast<size_t>(ids[t]) * w.cols;
      for (size_t i = begin; i < end; ++i) to[i] += dh[t * w.cols + i];
    }
  });
}

// Logits of some tokens at a time: 16 MiB of them.
float FastOps::softmax(float* x, size_t n, float scale) const {
  float max = -std::numeric_limits<float>::infinity(), sum = 0;
  kernels_.softmax_block(x, n, scale, &max, &sum);
  kernels_.scale(1 / sum, x, n);
  return max + std::log(sum);
}

// Logits become the gradient times `scale`.
void FastOps::text_loss(std::span<float> logits, int32_t target, double scale, bool gradient,
                        DistilRowLoss& loss) const {
  const float logit = logits[static_cast<size_t>(target)];
  float max = -std::numeric_limits<float>::infinity(), sum = 0;
  kernels_.softmax_block(logits.data(), logits.size(), 1, &max, &sum);
  loss.text = double{max} + std::log(static_cast<double>(sum)) - static_cast<double>(logit);
  if (!gradient) return;
  kernels_.scale(static_cast<float>(scale) / sum, logits.data(), logits.size());
  logits[static_cast<size_t>(target)] -= static_cast<float>(scale);
}

void FastOps::head_loss(const MatrixParam& w, const float* x, const int32_t* targets,
                        const float* weights, const Teaching* teaching, size_t n, double scale,
                        DistilRowLoss* losses, float* dx) {
  const size_t vocab = w.rows;
  const size_t step = std::clamp<size_t>((size_t{4} << 20) / vocab, 32, 512);
  logits_.resize(std::max(logits_.size(), std::min(n, step) * vocab));
  if (teaching) distil_scratch_.resize(static_cast<size_t>(pool_.num_threads()));
  for (size_t first = 0; first < n; first += step) {
    const size_t count = std::min(step, n - first);
    const RowGroup rows{w, 0, count};
    products_.linear({&rows, 1}, x + first * w.cols, logits_.data());
    std::span<const TeacherRow> taught;
    if (teaching) taught = teaching->teacher->rows(first, count);
    pool_.parallel_tasks(count, [&](size_t t, int thread) {
      const std::span<float> logits(logits_.data() + t * vocab, vocab);
      const int32_t target = targets[first + t];
      const double token_scale = weights ? scale * static_cast<double>(weights[first + t]) : scale;
      losses[first + t] = {};
      if (target < 0) {
        if (dx) std::fill(logits.begin(), logits.end(), 0.0f);
      } else if (!teaching) {
        text_loss(logits, target, token_scale, dx != nullptr, losses[first + t]);
      } else {
        std::vector<float>& scratch = distil_scratch_[static_cast<size_t>(thread)];
        scratch.resize(3 * vocab + 2);
        losses[first + t] = distil_row<float>(
            teaching->options, taught[t], target, logits, scratch,
            [this](float* z, size_t size, float s) { return softmax(z, size, s); });
        if (dx) kernels_.scale(static_cast<float>(token_scale), logits.data(), vocab);
      }
    });
    if (!dx) continue;
    products_.linear_dx({&rows, 1}, logits_.data(), dx + first * w.cols, false);
    products_.linear_dw({&rows, 1}, logits_.data(), x + first * w.cols, gradients_);
  }
}

}  // namespace axk1
