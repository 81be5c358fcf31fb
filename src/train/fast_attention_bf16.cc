// Attention of training with products of bf16 pairs: queries, keys, values, probabilities and
// their gradients are rounded to bf16 where they are multiplied; scores, the softmax and every sum
// are f32. The cut into pieces is that of fast_attention.cc, in blocks of kBlock queries and panels
// of as many keys.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/bits.h"
#include "train/fast_ops.h"

namespace axk1 {
namespace {

constexpr size_t kBlock = kPairPanel;

uint32_t* room(std::vector<uint32_t>& words, size_t size) {
  if (words.size() < size) words.resize(size);
  return words.data();
}
float* room(std::vector<float>& values, size_t size) {
  if (values.size() < size) values.resize(size);
  return values.data();
}

}  // namespace

// Row-major bf16, an even number of them in a row: operand a. x [count, width].
void FastOps::pack_row_major(const float* x, size_t x_stride, size_t count, size_t width,
                             std::vector<uint32_t>& words) {
  const size_t row_words = ceil_div(width, 2);
  uint32_t* to = room(words, count * row_words);
  for (size_t i = 0; i < count; ++i) {
    auto* row = reinterpret_cast<uint16_t*>(to + i * row_words);
    kernels_.f32_to_bf16(x + i * x_stride, row, width);
    if (width % 2) row[width] = 0;
  }
}

// Pairs of neighbouring rows of x [count, width], width in panels: operand b of a sum over rows.
void FastOps::pack_row_pairs(const float* x, size_t x_stride, size_t count, size_t width,
                             std::vector<uint32_t>& panels) {
  const size_t pairs = ceil_div(count, 2);
  uint32_t* to = room(panels, pairs * round_up(width, kPairPanel));
  for (size_t p = 0; p < pairs; ++p) {
    const float* even = x + 2 * p * x_stride;
    for (size_t c = 0; c < width; c += kPairPanel) {
      train_kernels_.pack_pairs(even + c, 2 * p + 1 < count ? even + x_stride + c : nullptr,
                                to + c * pairs + p * kPairPanel, std::min(kPairPanel, width - c));
    }
  }
}

// Pairs of neighbouring columns of x [count, width], rows in panels: operand b of x y = scores.
void FastOps::pack_col_pairs(const float* x, size_t count, size_t width,
                             std::vector<uint32_t>& panels) {
  const size_t pairs = ceil_div(width, 2);
  uint32_t* to = room(panels, pairs * round_up(count, kPairPanel));
  uint32_t row[kMaxHeadPairs];
  row[pairs - 1] = 0;
  for (size_t i = 0; i < count; ++i) {
    kernels_.f32_to_bf16(x + i * width, reinterpret_cast<uint16_t*>(row), width);
    uint32_t* column = to + i / kPairPanel * pairs * kPairPanel + i % kPairPanel;
    for (size_t p = 0; p < pairs; ++p) column[p * kPairPanel] = row[p];
  }
}

// scores [count, stride] = rows of a (width numbers each) by the keys of the block.
void FastOps::pair_scores(const QueryBlock& b, const std::vector<uint32_t>& a, size_t width,
                          const std::vector<uint32_t>& panels, float* scores) {
  const size_t pairs = ceil_div(width, 2);
  for (size_t key = b.begin; key < b.end; key += kPairPanel) {
    train_kernels_.pair_product({.a = a.data(),
                                 .a_row_stride = pairs,
                                 .a_step_stride = 1,
                                 .b = panels.data() + key * pairs,
                                 .y = scores + key - b.begin,
                                 .y_stride = b.stride,
                                 .m = b.count,
                                 .n = std::min(kPairPanel, b.end - key),
                                 .k = pairs,
                                 .accumulate = false});
  }
}

// y [count, width] = scores (row-major bf16) by keys or values, which are in pairs of rows of the
// whole row of the batch.
void FastOps::pair_mix(const QueryBlock& b, const std::vector<uint32_t>& scores,
                       const std::vector<uint32_t>& panels, size_t row_length, size_t width,
                       float* y, size_t y_stride) {
  const size_t all_pairs = ceil_div(row_length, 2);
  for (size_t c = 0; c < width; c += kPairPanel) {
    train_kernels_.pair_product({.a = scores.data(),
                                 .a_row_stride = b.stride / 2,
                                 .a_step_stride = 1,
                                 .b = panels.data() + c * all_pairs + b.begin / 2 * kPairPanel,
                                 .y = y + c,
                                 .y_stride = y_stride,
                                 .m = b.count,
                                 .n = std::min(kPairPanel, width - c),
                                 .k = ceil_div(b.end - b.begin, 2),
                                 .accumulate = false});
  }
}

// gradient [keys of the row, width] += scoresᵀ x, x [count, width].
void FastOps::pair_spread(const QueryBlock& b, const float* scores, const float* x, size_t x_stride,
                          size_t width, HeadScratch& s, float* gradient) {
  const size_t pairs = ceil_div(b.count, 2);
  uint32_t* words = room(s.score_pairs, pairs * b.stride);
  for (size_t p = 0; p < pairs; ++p) {
    const float* even = scores + 2 * p * b.stride;
    train_kernels_.pack_pairs(even, 2 * p + 1 < b.count ? even + b.stride : nullptr,
                              words + p * b.stride, b.stride);
  }
  pack_row_pairs(x, x_stride, b.count, width, s.query_pairs);
  for (size_t c = 0; c < width; c += kPairPanel) {
    train_kernels_.pair_product({.a = words,
                                 .a_row_stride = 1,
                                 .a_step_stride = b.stride,
                                 .b = s.query_pairs.data() + c * pairs,
                                 .y = gradient + b.begin * width + c,
                                 .y_stride = width,
                                 .m = b.end - b.begin,
                                 .n = std::min(kPairPanel, width - c),
                                 .k = pairs,
                                 .accumulate = true});
  }
}

void FastOps::attention_bf16(const AttentionShape& a, const AttentionInput<float>& in, float* out,
                             float* log_sums) {
  const size_t heads = a.num_heads, length = a.row_length;
  pool_.parallel_tasks(a.rows * heads, [&](size_t task, int thread) {
    HeadScratch& s = head_scratch_[static_cast<size_t>(thread)];
    const size_t row = task / heads, head = task % heads;
    gather_head(a, in, row, head, s);
    pack_col_pairs(s.k.data(), length, a.qk(), s.k_cols);
    pack_row_pairs(s.v.data(), a.v, length, a.v, s.v_rows);
    float* scores = room(s.scores, kBlock * round_up(length, kBlock));
    for (size_t first = 0; first < length; first += kBlock) {
      const QueryBlock b = query_block(a, row, first, kBlock, kBlock);
      pack_row_major(in.q + (b.token * heads + head) * a.qk(), heads * a.qk(), b.count, a.qk(),
                     s.q_words);
      pair_scores(b, s.q_words, a.qk(), s.k_cols, scores);
      float sums[kBlock];
      for (size_t i = 0; i < b.count; ++i) {
        float* p = scores + i * b.stride;
        const size_t from = b.sees_from(i), to = b.sees_to(i);
        float max = -std::numeric_limits<float>::infinity();
        sums[i] = 0;
        kernels_.softmax_block(p + from, to - from, static_cast<float>(a.scale), &max, &sums[i]);
        std::fill(p, p + from, 0.0f);
        std::fill(p + to, p + b.stride, 0.0f);
        log_sums[(b.token + i) * heads + head] = max + std::log(sums[i]);
      }
      pack_row_major(scores, b.stride, b.count, b.stride, s.score_words);
      float* o = out + (b.token * heads + head) * a.v;
      pair_mix(b, s.score_words, s.v_rows, length, a.v, o, heads * a.v);
      for (size_t i = 0; i < b.count; ++i) kernels_.scale(1 / sums[i], o + i * heads * a.v, a.v);
    }
  });
}

void FastOps::attention_backward_bf16(const AttentionShape& a, const AttentionInput<float>& in,
                                      const float* out, const float* log_sums, const float* d_out,
                                      const AttentionGradient<float>& d) {
  const size_t heads = a.num_heads, length = a.row_length;
  const auto scale = static_cast<float>(a.scale);
  pool_.parallel_tasks(a.rows * heads, [&](size_t task, int thread) {
    HeadScratch& s = head_scratch_[static_cast<size_t>(thread)];
    const size_t row = task / heads, head = task % heads;
    gather_head(a, in, row, head, s);
    pack_col_pairs(s.k.data(), length, a.qk(), s.k_cols);
    pack_col_pairs(s.v.data(), length, a.v, s.v_cols);
    pack_row_pairs(s.k.data(), a.qk(), length, a.qk(), s.k_rows);
    s.dk.assign(length * a.qk(), 0.0f);
    s.dv.assign(length * a.v, 0.0f);
    float* scores = room(s.scores, kBlock * round_up(length, kBlock));
    float* d_scores = room(s.d_scores, kBlock * round_up(length, kBlock));
    for (size_t first = 0; first < length; first += kBlock) {
      const QueryBlock b = query_block(a, row, first, kBlock, kBlock);
      const float* q = in.q + (b.token * heads + head) * a.qk();
      const float* d_o = d_out + (b.token * heads + head) * a.v;
      pack_row_major(q, heads * a.qk(), b.count, a.qk(), s.q_words);
      pair_scores(b, s.q_words, a.qk(), s.k_cols, scores);
      pack_row_major(d_o, heads * a.v, b.count, a.v, s.q_words);
      pair_scores(b, s.q_words, a.v, s.v_cols, d_scores);
      for (size_t i = 0; i < b.count; ++i) {
        const size_t at = (b.token + i) * heads + head;
        const size_t from = b.sees_from(i), to = b.sees_to(i);
        float* p = scores + i * b.stride;
        float* ds = d_scores + i * b.stride;
        float delta = 0;
        for (size_t j = 0; j < a.v; ++j) delta += d_out[at * a.v + j] * out[at * a.v + j];
        // With the logarithm of the sum as the running maximum, which no score exceeds, this makes
        // probabilities.
        float max = log_sums[at], unused = 0;
        kernels_.softmax_block(p + from, to - from, scale, &max, &unused);
        train_kernels_.softmax_grad(p + from, delta, scale, ds + from, to - from);
        for (float* x : {p, ds}) {
          std::fill(x, x + from, 0.0f);
          std::fill(x + to, x + b.stride, 0.0f);
        }
      }
      pair_spread(b, scores, d_o, heads * a.v, a.v, s, s.dv.data());
      pair_spread(b, d_scores, q, heads * a.qk(), a.qk(), s, s.dk.data());
      pack_row_major(d_scores, b.stride, b.count, b.stride, s.score_words);
      pair_mix(b, s.score_words, s.k_rows, length, a.qk(), d.q + (b.token * heads + head) * a.qk(),
               heads * a.qk());
    }
    scatter_head(a, row, head, s, d);
  });
}

}  // namespace axk1
