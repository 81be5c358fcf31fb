// The ops of training in plain C++, forward and backward, for float and double: what the fast ones
// are compared with, and what finite differences check. One thread at a time.
#pragma once

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "train/graph_ops.h"
#include "train/teacher.h"

namespace axk1 {

// params and gradients are arenas of one ParamLayout; gradients may be null for forward only.
template <class T>
class ReferenceOps {
 public:
  using Scalar = T;

  ReferenceOps(const T* params, T* gradients) : params_(params), gradients_(gradients) {}

  // body(begin, end) over [0, n).
  template <class Body>
  void for_rows(size_t n, Body&& body) {
    body(size_t{0}, n);
  }

  // y = x wᵀ.  x [n, w.cols], y [n, w.rows].
  void linear(std::span<const RowGroup> groups, const T* x, T* y) {
    for (const RowGroup& g : groups) {
      const T* w = params_ + g.w.offset;
      for (size_t r = g.first_row; r < g.first_row + g.num_rows; ++r) {
        for (size_t j = 0; j < g.w.rows; ++j) {
          T sum = 0;
          for (size_t k = 0; k < g.w.cols; ++k) sum += x[r * g.w.cols + k] * w[j * g.w.cols + k];
          y[r * g.w.rows + j] = sum;
        }
      }
    }
  }

  // dx = dy w.
  void linear_dx(std::span<const RowGroup> groups, const T* dy, T* dx, bool accumulate) {
    for (const RowGroup& g : groups) {
      const T* w = params_ + g.w.offset;
      for (size_t r = g.first_row; r < g.first_row + g.num_rows; ++r) {
        T* row = dx + r * g.w.cols;
        if (!accumulate) std::fill_n(row, g.w.cols, T{0});
        for (size_t j = 0; j < g.w.rows; ++j) {
          for (size_t k = 0; k < g.w.cols; ++k)
            row[k] += dy[r * g.w.rows + j] * w[j * g.w.cols + k];
        }
      }
    }
  }

  // dw += dyᵀ x.
  void linear_dw(std::span<const RowGroup> groups, const T* dy, const T* x) {
    for (const RowGroup& g : groups) {
      T* dw = gradients_ + g.w.offset;
      for (size_t r = g.first_row; r < g.first_row + g.num_rows; ++r) {
        for (size_t j = 0; j < g.w.rows; ++j) {
          for (size_t k = 0; k < g.w.cols; ++k) {
            dw[j * g.w.cols + k] += dy[r * g.w.rows + j] * x[r * g.w.cols + k];
          }
        }
      }
    }
  }

  // y = x inverse_rms w with inverse_rms = (mean(x²) + eps)^-1/2. Rows of x are x_stride apart.
  void rms_norm(const T* x, size_t x_stride, const NormParam& w, double eps, size_t n, T* y,
                T* inverse_rms) {
    for (size_t r = 0; r < n; ++r) {
      const T* row = x + r * x_stride;
      T squares = 0;
      for (size_t i = 0; i < w.size; ++i) squares += row[i] * row[i];
      inverse_rms[r] = 1 / std::sqrt(squares / static_cast<T>(w.size) + static_cast<T>(eps));
      for (size_t i = 0; i < w.size; ++i) {
        y[r * w.size + i] = row[i] * inverse_rms[r] * params_[w.offset + i];
      }
    }
  }

  // With s = inverse_rms:  dw += dy x s;  dx = s (w dy - x s² mean(w dy x)).
  void rms_norm_backward(const T* dy, const T* x, size_t x_stride, const T* inverse_rms,
                         const NormParam& w, size_t n, T* dx, size_t dx_stride, bool accumulate) {
    for (size_t r = 0; r < n; ++r) {
      const T* row = x + r * x_stride;
      const T* d = dy + r * w.size;
      const T s = inverse_rms[r];
      T dot = 0;
      for (size_t i = 0; i < w.size; ++i) {
        dot += params_[w.offset + i] * d[i] * row[i];
        gradients_[w.offset + i] += d[i] * row[i] * s;
      }
      const T mean = dot / static_cast<T>(w.size);
      for (size_t i = 0; i < w.size; ++i) {
        const T g = s * (params_[w.offset + i] * d[i] - row[i] * s * s * mean);
        T& to = dx[r * dx_stride + i];
        to = accumulate ? to + g : g;
      }
    }
  }

  // As ops/rope.h; cos, sin [n, half]. The inverse undoes it, which is also its gradient.
  void rope(T* x, const RopeShape& shape, size_t n, const T* cos, const T* sin, bool inverse) {
    std::vector<T> turned(2 * shape.half);
    for (size_t r = 0; r < n; ++r) {
      for (size_t h = 0; h < shape.num_heads; ++h) {
        T* pairs = x + r * shape.row_stride + h * shape.head_stride;
        for (size_t i = 0; i < shape.half; ++i) {
          // Where the pair stands before the rotation, and after it.
          const size_t a = shape.interleave ? 2 * i : i;
          const size_t b = shape.interleave ? 2 * i + 1 : shape.half + i;
          const T c = cos[r * shape.half + i], s = sin[r * shape.half + i];
          if (inverse) {
            turned[a] = pairs[i] * c + pairs[shape.half + i] * s;
            turned[b] = pairs[shape.half + i] * c - pairs[i] * s;
          } else {
            turned[i] = pairs[a] * c - pairs[b] * s;
            turned[shape.half + i] = pairs[b] * c + pairs[a] * s;
          }
        }
        std::copy(turned.begin(), turned.end(), pairs);
      }
    }
  }

  // out [n, heads * v]; log_sums [n, heads]: log of the sum of exp(scale q.k) over what a token
  // sees, from which backward makes the probabilities again.
  void attention(const AttentionShape& a, const AttentionInput<T>& in, T* out, T* log_sums) {
    std::vector<T> scores(a.row_length);
    for_pairs(a, [&](size_t t, size_t first, size_t h) {
      T max = -std::numeric_limits<T>::infinity();
      for (size_t j = first; j <= t; ++j) {
        scores[j - first] = score(a, in, t, j, h);
        max = std::max(max, scores[j - first]);
      }
      T sum = 0;
      for (size_t j = first; j <= t; ++j)
        sum += scores[j - first] = std::exp(scores[j - first] - max);
      log_sums[t * a.num_heads + h] = max + std::log(sum);
      T* o = out + (t * a.num_heads + h) * a.v;
      std::fill_n(o, a.v, T{0});
      for (size_t j = first; j <= t; ++j) {
        const T* v = in.kv + (j * a.num_heads + h) * (a.nope + a.v) + a.nope;
        for (size_t i = 0; i < a.v; ++i) o[i] += scores[j - first] / sum * v[i];
      }
    });
  }

  // With p = exp(scale q.k - log_sum):  dv += p do;  ds = p (do.v - do.o) scale;  dq += ds k;
  // dk += ds q (Dao et al. 2022, algorithm 4).
  void attention_backward(const AttentionShape& a, const AttentionInput<T>& in, const T* out,
                          const T* log_sums, const T* d_out, const AttentionGradient<T>& d) {
    std::fill_n(d.q, a.num_tokens() * a.num_heads * a.qk(), T{0});
    std::fill_n(d.kv, a.num_tokens() * a.num_heads * (a.nope + a.v), T{0});
    std::fill_n(d.k_rope, a.num_tokens() * a.rope, T{0});
    for_pairs(a, [&](size_t t, size_t first, size_t h) {
      const size_t at = t * a.num_heads + h;
      const T* o = out + at * a.v;
      const T* d_o = d_out + at * a.v;
      T delta = 0;
      for (size_t i = 0; i < a.v; ++i) delta += d_o[i] * o[i];
      for (size_t j = first; j <= t; ++j) {
        const size_t kv_at = (j * a.num_heads + h) * (a.nope + a.v);
        const T* v = in.kv + kv_at + a.nope;
        const T p = std::exp(score(a, in, t, j, h) - log_sums[at]);
        T dp = 0;
        for (size_t i = 0; i < a.v; ++i) {
          d.kv[kv_at + a.nope + i] += p * d_o[i];
          dp += d_o[i] * v[i];
        }
        const T ds = p * (dp - delta) * static_cast<T>(a.scale);
        const T* q = in.q + at * a.qk();
        T* dq = d.q + at * a.qk();
        for (size_t i = 0; i < a.nope; ++i) {
          dq[i] += ds * in.kv[kv_at + i];
          d.kv[kv_at + i] += ds * q[i];
        }
        for (size_t i = 0; i < a.rope; ++i) {
          dq[a.nope + i] += ds * in.k_rope[j * a.rope + i];
          d.k_rope[j * a.rope + i] += ds * q[a.nope + i];
        }
      }
    });
  }

  // act [n, width] = silu(gate) up, times the row's factor where factors are given. gate_up
  // [n, 2 * width].
  void swiglu(const T* gate_up, size_t width, size_t n, const T* factors, T* act) {
    for (size_t r = 0; r < n; ++r) {
      for (size_t i = 0; i < width; ++i) {
        const T gate = gate_up[2 * r * width + i], up = gate_up[(2 * r + 1) * width + i];
        act[r * width + i] = gate / (1 + std::exp(-gate)) * up * (factors ? factors[r] : T{1});
      }
    }
  }

  // d_factors [n], where factors are given: their gradient.
  void swiglu_backward(const T* gate_up, const T* d_act, size_t width, size_t n, const T* factors,
                       T* d_gate_up, T* d_factors) {
    for (size_t r = 0; r < n; ++r) {
      const T factor = factors ? factors[r] : T{1};
      T d_factor = 0;
      for (size_t i = 0; i < width; ++i) {
        const T gate = gate_up[2 * r * width + i], up = gate_up[(2 * r + 1) * width + i];
        const T sigmoid = 1 / (1 + std::exp(-gate)), silu = gate * sigmoid;
        const T d = d_act[r * width + i];
        d_factor += d * silu * up;
        // silu' = sigmoid (1 + gate (1 - sigmoid))
        d_gate_up[2 * r * width + i] = d * factor * up * sigmoid * (1 + gate * (1 - sigmoid));
        d_gate_up[(2 * r + 1) * width + i] = d * factor * silu;
      }
      if (factors) d_factors[r] = d_factor;
    }
  }

  // logits [n, experts].
  void router(const MatrixParam& w, const T* x, size_t n, T* logits) {
    const RowGroup all{w, 0, n};
    linear({&all, 1}, x, logits);
  }

  // d_logits [n, top_k] of the experts chosen; the others have none. dx is added to.
  void router_backward(const MatrixParam& w, const T* x, const int32_t* experts, const T* d_logits,
                       size_t top_k, size_t n, T* dx) {
    for (size_t t = 0; t < n; ++t) {
      for (size_t k = 0; k < top_k; ++k) {
        const size_t row = w.offset + static_cast<size_t>(experts[t * top_k + k]) * w.cols;
        const T d = d_logits[t * top_k + k];
        for (size_t i = 0; i < w.cols; ++i) {
          dx[t * w.cols + i] += d * params_[row + i];
          gradients_[row + i] += d * x[t * w.cols + i];
        }
      }
    }
  }

  // h [n, w.cols] = the rows of w that ids name.
  void embed(const MatrixParam& w, const int32_t* ids, size_t n, T* h) {
    for (size_t t = 0; t < n; ++t) {
      std::copy_n(params_ + w.offset + static_cast<size_t>(ids[t]) * w.cols, w.cols,
                  h + t * w.cols);
    }
  }
  void embed_backward(const MatrixParam& w, const int32_t* ids, size_t n, const T* dh) {
    for (size_t t = 0; t < n; ++t) {
      T* to = gradients_ + w.offset + static_cast<size_t>(ids[t]) * w.cols;
      for (size_t i = 0; i < w.cols; ++i) to[i] += dh[t * w.cols + i];
    }
  }

  // losses [n]: cross-entropy of softmax(x wᵀ) at each target, and what a teacher's loss is; 0
  // where there is no target. With dx not null also the gradients of `scale` times their weighted
  // sum: dx [n, w.cols], and of w.
  void head_loss(const MatrixParam& w, const T* x, const int32_t* targets, const float* weights,
                 const Teaching* teaching, size_t n, double scale, DistilRowLoss* losses, T* dx) {
    const DistilOptions text_alone{.teacher_weight = 0, .text_weight = 1};
    std::vector<T> logits(w.rows), scratch(3 * w.rows + 2);
    for (size_t t = 0; t < n; ++t) {
      losses[t] = {};
      if (dx) std::fill_n(dx + t * w.cols, w.cols, T{0});
      if (targets[t] < 0) continue;
      const RowGroup one{w, 0, 1};
      linear({&one, 1}, x + t * w.cols, logits.data());
      losses[t] = distil_row<T>(teaching ? teaching->options : text_alone,
                                teaching ? teaching->teacher->rows(t, 1)[0] : TeacherRow(),
                                targets[t], logits, scratch, softmax);
      if (!dx) continue;
      const T weight = weights ? static_cast<T>(weights[t]) : T{1};
      for (T& d : logits) d *= static_cast<T>(scale) * weight;
      linear_dx({&one, 1}, logits.data(), dx + t * w.cols, false);
      linear_dw({&one, 1}, logits.data(), x + t * w.cols);
    }
  }

 private:
  static T softmax(T* x, size_t n, T scale) {
    T max = scale * x[0], sum = 0;
    for (size_t i = 0; i < n; ++i) max = std::max(max, scale * x[i]);
    for (size_t i = 0; i < n; ++i) sum += x[i] = std::exp(scale * x[i] - max);
    for (size_t i = 0; i < n; ++i) x[i] /= sum;
    return max + std::log(sum);
  }

  // body(t, first, h): token t, by its index in the batch, sees [first, t], in head h.
  template <class Body>
  static void for_pairs(const AttentionShape& a, Body&& body) {
    for (size_t t = 0; t < a.num_tokens(); ++t) {
      for (size_t h = 0; h < a.num_heads; ++h) {
        body(t, t - static_cast<size_t>(a.positions[t]), h);
      }
    }
  }

  static T score(const AttentionShape& a, const AttentionInput<T>& in, size_t t, size_t j,
                 size_t h) {
    const T* q = in.q + (t * a.num_heads + h) * a.qk();
    const T* k = in.kv + (j * a.num_heads + h) * (a.nope + a.v);
    T sum = 0;
    for (size_t i = 0; i < a.nope; ++i) sum += q[i] * k[i];
    for (size_t i = 0; i < a.rope; ++i) sum += q[a.nope + i] * in.k_rope[j * a.rope + i];
    return sum * static_cast<T>(a.scale);
  }

  const T* params_;
  T* gradients_;
};

}  // namespace axk1
