// Attention of training: one head of one row of the batch is a piece of work. Keys and values of
// the head stand side by side in scratch; queries go through in blocks, whose scores over all that
// they see are there at once, so memory grows with the row and not with its square.
#include <algorithm>
#include <cmath>
#include <limits>

#include "train/fast_ops.h"

namespace axk1 {
namespace {

constexpr size_t kQueryBlock = 32;
constexpr auto kF32 = static_cast<size_t>(MatmulTypes::kF32F32);

}  // namespace

void FastOps::gather_head(const AttentionShape& a, const AttentionInput<float>& in, size_t row,
                          size_t head, HeadScratch& s) {
  const size_t length = a.row_length, kv_head = a.nope + a.v;
  const auto room = [](std::vector<float>& values, size_t size) {
    if (values.size() < size) values.resize(size);
  };
  room(s.k, length * a.qk());
  room(s.v, length * a.v);
  room(s.scores, kQueryBlock * length);
  for (size_t i = 0; i < length; ++i) {
    const size_t t = row * length + i;
    const float* kv = in.kv + (t * a.num_heads + head) * kv_head;
    std::copy_n(kv, a.nope, s.k.data() + i * a.qk());
    std::copy_n(in.k_rope + t * a.rope, a.rope, s.k.data() + i * a.qk() + a.nope);
    std::copy_n(kv + a.nope, a.v, s.v.data() + i * a.v);
  }
}

// The gradients of a head's keys and values to where they belong; of the shared key, to the head's
// own part of dk_rope_.
void FastOps::scatter_head(const AttentionShape& a, size_t row, size_t head, const HeadScratch& s,
                           const AttentionGradient<float>& d) {
  for (size_t i = 0; i < a.row_length; ++i) {
    const size_t at = (row * a.row_length + i) * a.num_heads + head;
    float* dkv = d.kv + at * (a.nope + a.v);
    std::copy_n(s.dk.data() + i * a.qk(), a.nope, dkv);
    std::copy_n(s.dv.data() + i * a.v, a.v, dkv + a.nope);
    std::copy_n(s.dk.data() + i * a.qk() + a.nope, a.rope, dk_rope_.data() + at * a.rope);
  }
}

// scores [count, num_keys] = q kᵀ, not scaled.
void FastOps::scores(const AttentionShape& a, const AttentionInput<float>& in, size_t head,
                     const QueryBlock& b, HeadScratch& s) {
  kernels_.matmul_nt[kF32]({.x = in.q + (b.token * a.num_heads + head) * a.qk(),
                            .x_stride = a.num_heads * a.qk(),
                            .w = s.k.data() + b.begin * a.qk(),
                            .w_stride = a.qk(),
                            .y = s.scores.data(),
                            .y_stride = b.num_keys(),
                            .m = b.count,
                            .n = b.num_keys(),
                            .k = a.qk()});
}

void FastOps::attention_f32(const AttentionShape& a, const AttentionInput<float>& in, float* out,
                            float* log_sums) {
  pool_.parallel_tasks(a.rows * a.num_heads, [&](size_t task, int thread) {
    HeadScratch& s = head_scratch_[static_cast<size_t>(thread)];
    const size_t row = task / a.num_heads, head = task % a.num_heads;
    gather_head(a, in, row, head, s);
    for (size_t first = 0; first < a.row_length; first += kQueryBlock) {
      const QueryBlock b = query_block(a, row, first, kQueryBlock);
      scores(a, in, head, b, s);
      float sums[kQueryBlock];
      for (size_t i = 0; i < b.count; ++i) {
        float* p = s.scores.data() + i * b.num_keys();
        const size_t from = b.sees_from(i), to = b.sees_to(i);
        float max = -std::numeric_limits<float>::infinity();
        sums[i] = 0;
        kernels_.softmax_block(p + from, to - from, static_cast<float>(a.scale), &max, &sums[i]);
        std::fill(p, p + from, 0.0f);
        std::fill(p + to, p + b.num_keys(), 0.0f);
        log_sums[(b.token + i) * a.num_heads + head] = max + std::log(sums[i]);
        std::fill_n(out + ((b.token + i) * a.num_heads + head) * a.v, a.v, 0.0f);
      }
      float* o = out + (b.token * a.num_heads + head) * a.v;
      kernels_.matmul_nn[kF32]({.x = s.scores.data(),
                                .x_stride = b.num_keys(),
                                .w = s.v.data() + b.begin * a.v,
                                .w_stride = a.v,
                                .y = o,
                                .y_stride = a.num_heads * a.v,
                                .m = b.count,
                                .n = a.v,
                                .k = b.num_keys()});
      for (size_t i = 0; i < b.count; ++i)
        kernels_.scale(1 / sums[i], o + i * a.num_heads * a.v, a.v);
    }
  });
}

void FastOps::attention_backward_f32(const AttentionShape& a, const AttentionInput<float>& in,
                                     const float* out, const float* log_sums, const float* d_out,
                                     const AttentionGradient<float>& d) {
  const size_t length = a.row_length, heads = a.num_heads;
  const size_t q_stride = heads * a.qk(), o_stride = heads * a.v;
  pool_.parallel_tasks(a.rows * heads, [&](size_t task, int thread) {
    HeadScratch& s = head_scratch_[static_cast<size_t>(thread)];
    const size_t row = task / heads, head = task % heads;
    gather_head(a, in, row, head, s);
    s.dk.assign(length * a.qk(), 0.0f);
    s.dv.assign(length * a.v, 0.0f);
    s.d_scores.resize(std::max(s.d_scores.size(), kQueryBlock * length));
    s.transposed.resize(std::max(s.transposed.size(), kQueryBlock * length));
    for (size_t first = 0; first < length; first += kQueryBlock) {
      const QueryBlock b = query_block(a, row, first, kQueryBlock);
      const size_t keys = b.num_keys();
      const float* q = in.q + (b.token * heads + head) * a.qk();
      const float* d_o = d_out + (b.token * heads + head) * a.v;
      // gradient [num_keys, width] += columns of m [count, num_keys] times x [count, width]
      const auto add_transposed = [&](const std::vector<float>& m, const float* x, size_t x_stride,
                                      size_t width, std::vector<float>& gradient) {
        for (size_t i = 0; i < b.count; ++i) {
          for (size_t j = 0; j < keys; ++j) s.transposed[j * kQueryBlock + i] = m[i * keys + j];
        }
        kernels_.matmul_nn[kF32]({.x = s.transposed.data(),
                                  .x_stride = kQueryBlock,
                                  .w = x,
                                  .w_stride = x_stride,
                                  .y = gradient.data() + b.begin * width,
                                  .y_stride = width,
                                  .m = keys,
                                  .n = width,
                                  .k = b.count});
      };
      scores(a, in, head, b, s);
      kernels_.matmul_nt[kF32]({.x = d_o,
                                .x_stride = o_stride,
                                .w = s.v.data() + b.begin * a.v,
                                .w_stride = a.v,
                                .y = s.d_scores.data(),
                                .y_stride = keys,
                                .m = b.count,
                                .n = keys,
                                .k = a.v});
      for (size_t i = 0; i < b.count; ++i) {
        const size_t at = (b.token + i) * heads + head;
        const size_t from = b.sees_from(i), to = b.sees_to(i);
        float* p = s.scores.data() + i * keys;
        float* ds = s.d_scores.data() + i * keys;
        float delta = 0;
        for (size_t j = 0; j < a.v; ++j) delta += d_out[at * a.v + j] * out[at * a.v + j];
        // With the logarithm of the sum as the running maximum, which no score exceeds, this makes
        // probabilities.
        float max = log_sums[at], unused = 0;
        kernels_.softmax_block(p + from, to - from, static_cast<float>(a.scale), &max, &unused);
        std::fill(p, p + from, 0.0f);
        std::fill(p + to, p + keys, 0.0f);
        train_kernels_.softmax_grad(p, delta, static_cast<float>(a.scale), ds, keys);
      }
      add_transposed(s.scores, d_o, o_stride, a.v, s.dv);
      add_transposed(s.d_scores, q, q_stride, a.qk(), s.dk);
      float* dq = d.q + (b.token * heads + head) * a.qk();
      for (size_t i = 0; i < b.count; ++i) std::fill_n(dq + i * q_stride, a.qk(), 0.0f);
      kernels_.matmul_nn[kF32]({.x = s.d_scores.data(),
                                .x_stride = keys,
                                .w = s.k.data() + b.begin * a.qk(),
                                .w_stride = a.qk(),
                                .y = dq,
                                .y_stride = q_stride,
                                .m = b.count,
                                .n = a.qk(),
                                .k = keys});
    }
    scatter_head(a, row, head, s, d);
  });
}

void FastOps::attention(const AttentionShape& a, const AttentionInput<float>& in, float* out,
                        float* log_sums) {
  return bf16_ ? attention_bf16(a, in, out, log_sums) : attention_f32(a, in, out, log_sums);
}

void FastOps::attention_backward(const AttentionShape& a, const AttentionInput<float>& in,
                                 const float* out, const float* log_sums, const float* d_out,
                                 const AttentionGradient<float>& d) {
  const size_t heads = a.num_heads;
  dk_rope_.resize(std::max(dk_rope_.size(), a.num_tokens() * heads * a.rope));
  if (bf16_) {
    attention_backward_bf16(a, in, out, log_sums, d_out, d);
  } else {
    attention_backward_f32(a, in, out, log_sums, d_out, d);
  }
  // The shared key: over heads, in order.
  for_rows(a.num_tokens(), [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      std::copy_n(dk_rope_.data() + t * heads * a.rope, a.rope, d.k_rope + t * a.rope);
      for (size_t h = 1; h < heads; ++h) {
        kernels_.add(dk_rope_.data() + (t * heads + h) * a.rope, d.k_rope + t * a.rope, a.rope);
      }
    }
  });
}

}  // namespace axk1
