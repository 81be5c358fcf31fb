// The ops of training with the kernel table, on all threads. Meaning and layouts: see
// train/graph_ops.h and the formulas in train/reference_ops.h, which these are compared with.
#pragma once

#include <span>
#include <vector>

#include "train/graph_ops.h"
#include "train/products.h"
#include "train/query_block.h"
#include "train/teacher.h"

namespace axk1 {

// References are kept. One thread at a time, which owns the pool. Nothing depends on the number of
// threads: sums over tokens are cut at fixed places or summed by one thread.
class FastOps {
 public:
  using Scalar = float;

  // compute: kF32 or kBF16, what matrix products and attention multiply. The kernels of training
  // are the best that need nothing beyond what `kernels` needs.
  FastOps(const ParamStore& params, const KernelTable& kernels, ThreadPool& pool, DType compute);

  // Before a step: the arena that gradients of parameters are added to, or null.
  void begin(float* gradients) {
    gradients_ = gradients;
    products_.refresh();
  }

  template <class Body>
  void for_rows(size_t n, Body&& body) {
    pool_.parallel_for(n, 8, body);
  }

  void linear(std::span<const RowGroup> groups, const float* x, float* y) {
    products_.linear(groups, x, y);
  }
  void linear_dx(std::span<const RowGroup> groups, const float* dy, float* dx, bool accumulate) {
    products_.linear_dx(groups, dy, dx, accumulate);
  }
  void linear_dw(std::span<const RowGroup> groups, const float* dy, const float* x) {
    products_.linear_dw(groups, dy, x, gradients_);
  }

  void rms_norm(const float* x, size_t x_stride, const NormParam& w, double eps, size_t n, float* y,
                float* inverse_rms);
  void rms_norm_backward(const float* dy, const float* x, size_t x_stride, const float* inverse_rms,
                         const NormParam& w, size_t n, float* dx, size_t dx_stride,
                         bool accumulate);
  void rope(float* x, const RopeShape& shape, size_t n, const float* cos, const float* sin,
            bool inverse);
  void attention(const AttentionShape& a, const AttentionInput<float>& in, float* out,
                 float* log_sums);
  void attention_backward(const AttentionShape& a, const AttentionInput<float>& in,
                          const float* out, const float* log_sums, const float* d_out,
                          const AttentionGradient<float>& d);
  void swiglu(const float* gate_up, size_t width, size_t n, const float* factors, float* act);
  void swiglu_backward(const float* gate_up, const float* d_act, size_t width, size_t n,
                       const float* factors, float* d_gate_up, float* d_factors);
  void router(const MatrixParam& w, const float* x, size_t n, float* logits);
  void router_backward(const MatrixParam& w, const float* x, const int32_t* experts,
                       const float* d_logits, size_t top_k, size_t n, float* dx);
  void embed(const MatrixParam& w, const int32_t* ids, size_t n, float* h);
  void embed_backward(const MatrixParam& w, const int32_t* ids, size_t n, const float* dh);
  void head_loss(const MatrixParam& w, const float* x, const int32_t* targets, const float* weights,
                 const Teaching* teaching, size_t n, double scale, DistilRowLoss* losses,
                 float* dx);

 private:
  // Memory of one thread for attention of one head of one row of the batch.
  struct HeadScratch {
    std::vector<float> k, v, dk, dv;      // [row_length, qk or v]
    std::vector<float> scores, d_scores;  // [queries of a block, keys]
    std::vector<float> transposed;        // [keys, queries of a block]
    // In bf16: pairs of columns or of rows of k and v; rows of queries and scores; pairs of those.
    std::vector<uint32_t> k_cols, v_cols, k_rows, v_rows;
    std::vector<uint32_t> q_words, score_words, score_pairs, query_pairs;
  };
  static constexpr size_t kMaxHeadPairs = 4096;
  void gather_head(const AttentionShape& a, const AttentionInput<float>& in, size_t row,
                   size_t head, HeadScratch& s);
  void scatter_head(const AttentionShape& a, size_t row, size_t head, const HeadScratch& s,
                    const AttentionGradient<float>& d);
  void text_loss(std::span<float> logits, int32_t target, double scale, bool gradient,
                 DistilRowLoss& loss) const;
  float softmax(float* x, size_t n, float scale) const;
  void scores(const AttentionShape& a, const AttentionInput<float>& in, size_t head,
              const QueryBlock& block, HeadScratch& s);
  void attention_f32(const AttentionShape& a, const AttentionInput<float>& in, float* out,
                     float* log_sums);
  void attention_backward_f32(const AttentionShape& a, const AttentionInput<float>& in,
                              const float* out, const float* log_sums, const float* d_out,
                              const AttentionGradient<float>& d);

  void pack_row_major(const float* x, size_t x_stride, size_t count, size_t width,
                      std::vector<uint32_t>& words);
  void pack_row_pairs(const float* x, size_t x_stride, size_t count, size_t width,
                      std::vector<uint32_t>& panels);
  void pack_col_pairs(const float* x, size_t count, size_t width, std::vector<uint32_t>& panels);
  void pair_scores(const QueryBlock& b, const std::vector<uint32_t>& a, size_t width,
                   const std::vector<uint32_t>& panels, float* scores);
  void pair_mix(const QueryBlock& b, const std::vector<uint32_t>& scores,
                const std::vector<uint32_t>& panels, size_t row_length, size_t width, float* y,
                size_t y_stride);
  void pair_spread(const QueryBlock& b, const float* scores, const float* x, size_t x_stride,
                   size_t width, HeadScratch& s, float* gradient);
  void attention_bf16(const AttentionShape& a, const AttentionInput<float>& in, float* out,
                      float* log_sums);
  void attention_backward_bf16(const AttentionShape& a, const AttentionInput<float>& in,
                               const float* out, const float* log_sums, const float* d_out,
                               const AttentionGradient<float>& d);
  const float* param(size_t offset) const { return params_.values().data() + offset; }

  const ParamStore& params_;
  const KernelTable& kernels_;
  const TrainKernels& train_kernels_;
  ThreadPool& pool_;
  const bool bf16_;
  Products products_;
  float* gradients_ = nullptr;
  std::vector<HeadScratch> head_scratch_;  // [threads]
  std::vector<float> partial_;             // sums of blocks of tokens, of rms_norm_backward
  std::vector<float> dk_rope_;             // [tokens, heads, rope]
  std::vector<float> logits_;              // [tokens at a time, vocab]
  std::vector<std::vector<float>> distil_scratch_;  // [threads]
};

}  // namespace axk1
