// The A.X K1 graph forward and backward, as model/forward.cc computes it: docs/training.md has the
// formulas. A template over its ops (train/graph_ops.h), so that one text is what trains and what
// finite differences check.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "base/check.h"
#include "ops/rope.h"
#include "ops/router.h"
#include "train/batch.h"
#include "train/graph_ops.h"
#include "train/step_stats.h"
#include "train/teacher.h"

namespace axk1 {

// Owns the activations of one micro-batch, which grow to the largest and stay. References are kept.
// One thread at a time.
template <class Ops>
class Graph {
 public:
  using T = typename Ops::Scalar;

  // mtp_weight: of the loss of multi-token prediction, where the layout has it; 0: not computed.
  Graph(const ParamLayout& layout, Ops& ops, double mtp_weight);

  // The batch has sane ids, targets and positions. router_biases [MoE layers, experts]. With
  // `gradients`, those of the sum of losses, and of mtp_weight times the sum of those of
  // multi-token prediction (arXiv 2412.19437, equations 24 and 25), times `scale` are added to the
  // arena of the ops. `teaching`: that loss instead of the text's; multi-token prediction learns
  // from the text.
  StepStats run(const TrainBatch& batch, std::span<const float> router_biases, double scale,
                bool gradients, const Teaching* teaching = nullptr);

  // Of each token of the last run: what its target cost; 0 without a target.
  std::span<const DistilRowLoss> token_losses() const { return {losses_.data(), n_}; }

  // Makes the next runs take the choices of experts that the last run made: finite differences
  // must not step from one choice to another.
  void keep_choices(bool keep) { keep_choices_ = keep; }

 private:
  using Rows = std::vector<T>;

  // What forward leaves for backward; [tokens, ..] unless said otherwise.
  struct LayerState {
    Rows h0, h1;                        // [hidden] residual stream before attention, before the MLP
    Rows x1, x2;                        // [hidden] the same, normed
    Rows inv1, inv2, inv_q, inv_kv;     // inverse RMS of the norms
    Rows in;                            // [in_proj.rows]
    Rows q_latent;                      // [q_lora_rank] normed
    Rows q;                             // [heads * qk] rotated
    Rows latent;                        // [kv_lora_rank] normed
    Rows kv;                            // [heads * (nope + v)]
    Rows k_rope;                        // [rope] rotated
    Rows attended;                      // [heads * v]
    Rows log_sums;                      // [heads]
    Rows gate_up, act;                  // of the dense MLP or the shared expert
    Rows logits;                        // [experts]
    std::vector<int32_t> experts;       // [top_k]
    Rows weights;                       // [top_k]
    std::vector<float> entropy;         // of the router, a token
    std::vector<uint32_t> token_of;     // [tokens * top_k] of each row of the experts
    std::vector<uint32_t> row_of;       // [tokens, top_k]
    std::vector<RowGroup> gate_groups;  // rows of each expert that has any
    std::vector<RowGroup> down_groups;
    Rows row_weights;           // [rows]
    Rows row_gate_up, row_act;  // [rows, ..]
    Rows mlp_out, inv_mlp;      // before the post-MLP norm
  };

  T* room(Rows& rows, size_t size) {
    if (rows.size() < size) rows.resize(size);
    return rows.data();
  }
  void linear(const MatrixParam& w, const T* x, T* y) {
    const RowGroup all{w, 0, n_};
    ops_.linear({&all, 1}, x, y);
  }
  void linear_dx(const MatrixParam& w, const T* dy, T* dx, bool accumulate = false) {
    const RowGroup all{w, 0, n_};
    ops_.linear_dx({&all, 1}, dy, dx, accumulate);
  }
  void linear_dw(const MatrixParam& w, const T* dy, const T* x) {
    const RowGroup all{w, 0, n_};
    ops_.linear_dw({&all, 1}, dy, x);
  }
  void add(const T* x, T* y) {  // [n, hidden]
    ops_.for_rows(n_, [&](size_t begin, size_t end) {
      for (size_t i = begin * hidden_; i < end * hidden_; ++i) y[i] += x[i];
    });
  }
  // Columns [0, width) of rows that are stride apart, side by side; and back.
  void copy_out(const T* from, size_t stride, size_t width, T* to) {
    ops_.for_rows(n_, [&](size_t begin, size_t end) {
      for (size_t t = begin; t < end; ++t) std::copy_n(from + t * stride, width, to + t * width);
    });
  }
  void copy_in(const T* from, size_t stride, size_t width, T* to) {
    ops_.for_rows(n_, [&](size_t begin, size_t end) {
      for (size_t t = begin; t < end; ++t) std::copy_n(from + t * width, width, to + t * stride);
    });
  }

  // The layer of multi-token prediction: forward, and with `gradients` backward, which adds the
  // gradient of normed_ to d_normed_.
  void run_mtp(const TrainBatch& batch, std::span<const float> router_biases, double scale,
               bool gradients, StepStats& stats);
  void read_ahead(const TrainBatch& batch);
  std::span<const float> bias_of(const LayerParams& p, std::span<const float> biases) const {
    return p.is_moe ? biases.subspan(p.moe_idx * num_experts_, num_experts_)
                    : std::span<const float>();
  }
  void make_angles(const TrainBatch& batch);
  void attention_forward(const LayerParams& p, LayerState& s);
  void attention_backward(const LayerParams& p, LayerState& s);
  void mlp_forward(const LayerParams& p, LayerState& s, std::span<const float> bias, T* h);
  void mlp_backward(const LayerParams& p, LayerState& s);
  void gated_forward(const MlpParams& p, LayerState& s, T* out);
  void gated_backward(const MlpParams& p, LayerState& s, const T* d_out, bool accumulate);
  void route_tokens(const LayerParams& p, LayerState& s, std::span<const float> bias);
  void group_rows(const LayerParams& p, LayerState& s);
  void experts_forward(const LayerParams& p, LayerState& s, T* out);
  void experts_backward(const LayerParams& p, LayerState& s, const T* d_out);
  void router_backward(const LayerParams& p, LayerState& s, const T* d_weights);
  void count_router(const LayerState& s, MoeLayerStats& stats) const;
  // dx_ through the norm of h, added to dh_.
  void norm_backward(const NormParam& norm, const Rows& h, const Rows& inverse) {
    ops_.rms_norm_backward(dx_.data(), h.data(), hidden_, inverse.data(), norm, n_, dh_.data(),
                           hidden_, true);
  }

  const ParamLayout& layout_;
  const ModelConfig& config_;
  Ops& ops_;
  const double mtp_weight_;
  size_t hidden_, top_k_, num_experts_;
  std::vector<float> inv_freq_;
  RouterShape router_shape_;
  AttentionShape attention_;
  RopeShape q_rope_, k_rope_;
  bool keep_choices_ = false;

  size_t n_ = 0;  // tokens of the batch
  Rows cos_, sin_;
  std::vector<LayerState> states_;
  Rows last_, normed_, inv_last_;  // the residual stream after the last layer
  std::vector<DistilRowLoss> losses_, mtp_losses_;
  Rows d_normed_;  // [hidden]

  // Of multi-token prediction; [tokens, ..].
  std::vector<int32_t> next_ids_, next_targets_;
  Rows next_, next_normed_, state_normed_, inv_next_, inv_state_;  // what eh_proj is given
  Rows pair_, d_pair_;                                             // [2 * hidden]
  Rows mtp_last_, mtp_normed_, inv_mtp_;                           // the stream after the layer

  Rows out_;                                   // [hidden] what is added to the stream
  Rows rows_x_, rows_out_;                     // [rows, hidden] of experts
  Rows dh_, dx_, d_out_;                       // [hidden]
  Rows d_act_, d_gate_up_;                     // of an MLP
  Rows d_in_, dq_, dkv_, dk_rope_, d_latent_;  // of attention
  Rows d_attended_;
  Rows d_row_weights_, d_weights_;
};

template <class Ops>
Graph<Ops>::Graph(const ParamLayout& layout, Ops& ops, double mtp_weight)
    : layout_(layout),
      config_(layout.config()),
      ops_(ops),
      mtp_weight_(layout.mtp ? mtp_weight : 0),
      hidden_(static_cast<size_t>(config_.hidden_size)),
      top_k_(static_cast<size_t>(config_.num_experts_per_tok)),
      num_experts_(static_cast<size_t>(config_.n_routed_experts)),
      inv_freq_(config_.rope_inv_freq()),
      states_(layout.layers.size()) {
  const ModelConfig& c = config_;
  const auto z = [](int64_t size) { return static_cast<size_t>(size); };
  router_shape_ = {.num_experts = num_experts_,
                   .top_k = top_k_,
                   .num_groups = z(c.n_group),
                   .top_groups = z(c.topk_group),
                   .group_score = c.group_score,
                   .norm_topk_prob = c.norm_topk_prob,
                   .scaling_factor = static_cast<float>(c.routed_scaling_factor)};
  attention_ = {.num_heads = z(c.num_attention_heads),
                .nope = z(c.qk_nope_head_dim),
                .rope = z(c.qk_rope_head_dim),
                .v = z(c.v_head_dim),
                .scale = c.softmax_scale()};
  k_rope_ = {
      .row_stride = attention_.rope, .half = attention_.rope / 2, .interleave = c.rope_interleave};
  q_rope_ = k_rope_;
  q_rope_.num_heads = attention_.num_heads;
  q_rope_.row_stride = attention_.num_heads * attention_.qk();
  q_rope_.head_stride = attention_.qk();
}

template <class Ops>
StepStats Graph<Ops>::run(const TrainBatch& batch, std::span<const float> router_biases,
                          double scale, bool gradients, const Teaching* teaching) {
  n_ = batch.rows * batch.row_length;
  attention_.rows = batch.rows;
  attention_.row_length = batch.row_length;
  attention_.positions = batch.positions.data();
  make_angles(batch);

  StepStats stats;
  stats.tokens = n_;
  const size_t num_layers = static_cast<size_t>(config_.num_hidden_layers);
  const size_t width = n_ * hidden_;
  const auto stream = [&](size_t layer) -> Rows& {
    return layer == num_layers ? last_ : states_[layer].h0;
  };
  ops_.embed(layout_.embedding, batch.inputs.data(), n_, room(stream(0), width));
  for (size_t layer = 0; layer < num_layers; ++layer) {
    const LayerParams& p = layout_.layers[layer];
    LayerState& s = states_[layer];
    attention_forward(p, s);
    mlp_forward(p, s, bias_of(p, router_biases), room(stream(layer + 1), width));
    if (p.is_moe) count_router(s, stats.moe_layers.emplace_back());
  }
  ops_.rms_norm(last_.data(), hidden_, layout_.final_norm, config_.rms_norm_eps, n_,
                room(normed_, width), room(inv_last_, n_));

  losses_.resize(n_);
  room(dx_, width);
  room(d_normed_, width);
  ops_.head_loss(layout_.head, normed_.data(), batch.targets.data(),
                 batch.weights.empty() ? nullptr : batch.weights.data(), teaching, n_, scale,
                 losses_.data(), gradients ? d_normed_.data() : nullptr);
  for (size_t t = 0; t < n_; ++t) {
    stats.loss_sum += losses_[t].text;
    stats.teacher_loss_sum += losses_[t].teacher;
    stats.targets += batch.targets[t] >= 0;
  }
  if (mtp_weight_ > 0) run_mtp(batch, router_biases, scale, gradients, stats);
  if (!gradients) return stats;

  ops_.rms_norm_backward(d_normed_.data(), last_.data(), hidden_, inv_last_.data(),
                         layout_.final_norm, n_, room(dh_, width), hidden_, false);
  for (size_t layer = num_layers; layer-- > 0;) {
    mlp_backward(layout_.layers[layer], states_[layer]);
    attention_backward(layout_.layers[layer], states_[layer]);
  }
  ops_.embed_backward(layout_.embedding, batch.inputs.data(), n_, dh_.data());
  return stats;
}

// The token after each, and the one after that, within its document in its row: there the next
// token of the loss is the target of the next token. Elsewhere the guess does not count.
template <class Ops>
void Graph<Ops>::read_ahead(const TrainBatch& batch) {
  next_ids_.resize(n_);
  next_targets_.resize(n_);
  for (size_t t = 0; t < n_; ++t) {
    const bool goes_on =
        (t + 1) % batch.row_length != 0 && batch.positions[t + 1] == batch.positions[t] + 1;
    next_ids_[t] = goes_on ? batch.inputs[t + 1] : std::max(batch.targets[t], 0);
    next_targets_[t] = goes_on ? batch.targets[t + 1] : TrainBatch::kNoTarget;
  }
}

template <class Ops>
void Graph<Ops>::run_mtp(const TrainBatch& batch, std::span<const float> router_biases,
                         double scale, bool gradients, StepStats& stats) {
  const MtpParams& m = *layout_.mtp;
  const LayerParams& p = layout_.layers.back();
  LayerState& s = states_.back();
  const size_t width = n_ * hidden_;
  const double eps = config_.rms_norm_eps;
  read_ahead(batch);
  ops_.embed(layout_.embedding, next_ids_.data(), n_, room(next_, width));
  ops_.rms_norm(next_.data(), hidden_, m.enorm, eps, n_, room(next_normed_, width),
                room(inv_next_, n_));
  ops_.rms_norm(normed_.data(), hidden_, m.hnorm, eps, n_, room(state_normed_, width),
                room(inv_state_, n_));
  room(pair_, 2 * width);
  copy_in(next_normed_.data(), 2 * hidden_, hidden_, pair_.data());
  copy_in(state_normed_.data(), 2 * hidden_, hidden_, pair_.data() + hidden_);
  linear(m.eh_proj, pair_.data(), room(s.h0, width));
  attention_forward(p, s);
  mlp_forward(p, s, bias_of(p, router_biases), room(mtp_last_, width));
  if (p.is_moe) count_router(s, stats.moe_layers.emplace_back());
  ops_.rms_norm(mtp_last_.data(), hidden_, m.norm, eps, n_, room(mtp_normed_, width),
                room(inv_mtp_, n_));
  mtp_losses_.resize(n_);
  ops_.head_loss(layout_.head, mtp_normed_.data(), next_targets_.data(), nullptr, nullptr, n_,
                 scale * mtp_weight_, mtp_losses_.data(), gradients ? dx_.data() : nullptr);
  for (size_t t = 0; t < n_; ++t) {
    stats.mtp_loss_sum += mtp_losses_[t].text;
    stats.mtp_targets += next_targets_[t] >= 0;
  }
  if (!gradients) return;

  ops_.rms_norm_backward(dx_.data(), mtp_last_.data(), hidden_, inv_mtp_.data(), m.norm, n_,
                         room(dh_, width), hidden_, false);
  mlp_backward(p, s);
  attention_backward(p, s);
  linear_dx(m.eh_proj, dh_.data(), room(d_pair_, 2 * width));
  linear_dw(m.eh_proj, dh_.data(), pair_.data());
  copy_out(d_pair_.data(), 2 * hidden_, hidden_, dx_.data());
  ops_.rms_norm_backward(dx_.data(), next_.data(), hidden_, inv_next_.data(), m.enorm, n_,
                         dh_.data(), hidden_, false);
  ops_.embed_backward(layout_.embedding, next_ids_.data(), n_, dh_.data());
  copy_out(d_pair_.data() + hidden_, 2 * hidden_, hidden_, dx_.data());
  ops_.rms_norm_backward(dx_.data(), normed_.data(), hidden_, inv_state_.data(), m.hnorm, n_,
                         d_normed_.data(), hidden_, true);
}

template <class Ops>
void Graph<Ops>::make_angles(const TrainBatch& batch) {
  const size_t half = inv_freq_.size();
  const auto scaling = static_cast<float>(config_.rope_attention_scaling());
  room(cos_, n_ * half);
  room(sin_, n_ * half);
  ops_.for_rows(n_, [&](size_t begin, size_t end) {
    std::vector<float> cos(half), sin(half);
    for (size_t t = begin; t < end; ++t) {
      rope_angles(static_cast<size_t>(batch.positions[t]), inv_freq_, scaling, cos.data(),
                  sin.data());
      std::copy(cos.begin(), cos.end(), cos_.begin() + static_cast<std::ptrdiff_t>(t * half));
      std::copy(sin.begin(), sin.end(), sin_.begin() + static_cast<std::ptrdiff_t>(t * half));
    }
  });
}

// h1 = h0 + o_proj(attention(norm(h0))).
template <class Ops>
void Graph<Ops>::attention_forward(const LayerParams& p, LayerState& s) {
  const AttentionShape& a = attention_;
  const size_t in_width = p.in_proj.rows, q_width = p.q_width, rank = p.kv_a_norm.size;
  const double lora_eps = config_.lora_norm_eps;
  ops_.rms_norm(s.h0.data(), hidden_, p.input_norm, config_.rms_norm_eps, n_,
                room(s.x1, n_ * hidden_), room(s.inv1, n_));
  linear(p.in_proj, s.x1.data(), room(s.in, n_ * in_width));
  room(s.q, n_ * a.num_heads * a.qk());
  if (p.q_b.rows) {
    ops_.rms_norm(s.in.data(), in_width, p.q_a_norm, lora_eps, n_, room(s.q_latent, n_ * q_width),
                  room(s.inv_q, n_));
    linear(p.q_b, s.q_latent.data(), s.q.data());
  } else {
    copy_out(s.in.data(), in_width, q_width, s.q.data());
  }
  ops_.rms_norm(s.in.data() + q_width, in_width, p.kv_a_norm, lora_eps, n_,
                room(s.latent, n_ * rank), room(s.inv_kv, n_));
  linear(p.kv_b, s.latent.data(), room(s.kv, n_ * p.kv_b.rows));
  copy_out(s.in.data() + q_width + rank, in_width, a.rope, room(s.k_rope, n_ * a.rope));
  ops_.rope(s.q.data() + a.nope, q_rope_, n_, cos_.data(), sin_.data(), false);
  ops_.rope(s.k_rope.data(), k_rope_, n_, cos_.data(), sin_.data(), false);
  ops_.attention(a, {s.q.data(), s.kv.data(), s.k_rope.data()},
                 room(s.attended, n_ * a.num_heads * a.v), room(s.log_sums, n_ * a.num_heads));
  linear(p.o, s.attended.data(), room(s.h1, n_ * hidden_));
  add(s.h0.data(), s.h1.data());
}

template <class Ops>
void Graph<Ops>::attention_backward(const LayerParams& p, LayerState& s) {
  const AttentionShape& a = attention_;
  const size_t in_width = p.in_proj.rows, q_width = p.q_width, rank = p.kv_a_norm.size;
  linear_dx(p.o, dh_.data(), room(d_attended_, n_ * a.num_heads * a.v));
  linear_dw(p.o, dh_.data(), s.attended.data());
  ops_.attention_backward(a, {s.q.data(), s.kv.data(), s.k_rope.data()}, s.attended.data(),
                          s.log_sums.data(), d_attended_.data(),
                          {room(dq_, n_ * a.num_heads * a.qk()), room(dkv_, n_ * p.kv_b.rows),
                           room(dk_rope_, n_ * a.rope)});
  ops_.rope(dq_.data() + a.nope, q_rope_, n_, cos_.data(), sin_.data(), true);
  ops_.rope(dk_rope_.data(), k_rope_, n_, cos_.data(), sin_.data(), true);

  room(d_in_, n_ * in_width);
  room(d_latent_, n_ * std::max(rank, p.q_b.cols));
  linear_dx(p.kv_b, dkv_.data(), d_latent_.data());
  linear_dw(p.kv_b, dkv_.data(), s.latent.data());
  ops_.rms_norm_backward(d_latent_.data(), s.in.data() + q_width, in_width, s.inv_kv.data(),
                         p.kv_a_norm, n_, d_in_.data() + q_width, in_width, false);
  copy_in(dk_rope_.data(), in_width, a.rope, d_in_.data() + q_width + rank);
  if (p.q_b.rows) {
    linear_dx(p.q_b, dq_.data(), d_latent_.data());
    linear_dw(p.q_b, dq_.data(), s.q_latent.data());
    ops_.rms_norm_backward(d_latent_.data(), s.in.data(), in_width, s.inv_q.data(), p.q_a_norm, n_,
                           d_in_.data(), in_width, false);
  } else {
    copy_in(dq_.data(), in_width, q_width, d_in_.data());
  }
  linear_dx(p.in_proj, d_in_.data(), dx_.data());
  linear_dw(p.in_proj, d_in_.data(), s.x1.data());
  norm_backward(p.input_norm, s.h0, s.inv1);
}

// out = down(swiglu(gate_up(x2))).
template <class Ops>
void Graph<Ops>::gated_forward(const MlpParams& p, LayerState& s, T* out) {
  linear(p.gate_up, s.x2.data(), room(s.gate_up, n_ * p.gate_up.rows));
  ops_.swiglu(s.gate_up.data(), p.intermediate(), n_, nullptr, room(s.act, n_ * p.intermediate()));
  linear(p.down, s.act.data(), out);
}

template <class Ops>
void Graph<Ops>::gated_backward(const MlpParams& p, LayerState& s, const T* d_out,
                                bool accumulate) {
  linear_dx(p.down, d_out, room(d_act_, n_ * p.intermediate()));
  linear_dw(p.down, d_out, s.act.data());
  ops_.swiglu_backward(s.gate_up.data(), d_act_.data(), p.intermediate(), n_, nullptr,
                       room(d_gate_up_, n_ * p.gate_up.rows), nullptr);
  linear_dx(p.gate_up, d_gate_up_.data(), dx_.data(), accumulate);
  linear_dw(p.gate_up, d_gate_up_.data(), s.x2.data());
}

// h = h1 + MLP(norm(h1)), the MLP's output normed once more in a MoE layer of A.X K1.
template <class Ops>
void Graph<Ops>::mlp_forward(const LayerParams& p, LayerState& s, std::span<const float> bias,
                             T* h) {
  ops_.rms_norm(s.h1.data(), hidden_, p.post_attention_norm, config_.rms_norm_eps, n_,
                room(s.x2, n_ * hidden_), room(s.inv2, n_));
  if (!p.is_moe) {
    gated_forward(p.mlp, s, h);
    return add(s.h1.data(), h);
  }
  route_tokens(p, s, bias);
  T* out = p.post_mlp_norm.size ? room(s.mlp_out, n_ * hidden_) : h;
  experts_forward(p, s, out);
  if (p.post_mlp_norm.size) {
    ops_.rms_norm(out, hidden_, p.post_mlp_norm, config_.rms_norm_eps, n_, h, room(s.inv_mlp, n_));
  }
  add(s.h1.data(), h);
}

template <class Ops>
void Graph<Ops>::mlp_backward(const LayerParams& p, LayerState& s) {
  if (!p.is_moe) {
    gated_backward(p.mlp, s, dh_.data(), false);
  } else {
    const T* d_out = dh_.data();
    if (p.post_mlp_norm.size) {
      ops_.rms_norm_backward(dh_.data(), s.mlp_out.data(), hidden_, s.inv_mlp.data(),
                             p.post_mlp_norm, n_, room(d_out_, n_ * hidden_), hidden_, false);
      d_out = d_out_.data();
    }
    experts_backward(p, s, d_out);
  }
  norm_backward(p.post_attention_norm, s.h1, s.inv2);
}

// In nats, of p = s / S with s = sigmoid(logit) and S their sum:  -sum p log p = log S - sum s log
// s / S.
inline float score_entropy(std::span<const float> logits) {
  float sum = 0, dot = 0;
  for (float logit : logits) {
    const float score = 1 / (1 + std::exp(-logit));
    sum += score;
    if (score > 0) dot += score * std::log(score);
  }
  return sum > 0 ? std::log(sum) - dot / sum : 0;
}

// Experts by the router of inference; weights as it makes them, in T.
template <class Ops>
void Graph<Ops>::route_tokens(const LayerParams& p, LayerState& s, std::span<const float> bias) {
  ops_.router(p.router, s.x2.data(), n_, room(s.logits, n_ * num_experts_));
  room(s.weights, n_ * top_k_);
  s.experts.resize(std::max(s.experts.size(), n_ * top_k_));
  s.entropy.resize(std::max(s.entropy.size(), n_));
  ops_.for_rows(n_, [&](size_t begin, size_t end) {
    std::vector<float> logits(num_experts_), unused(top_k_);
    for (size_t t = begin; t < end; ++t) {
      const T* row = s.logits.data() + t * num_experts_;
      int32_t* experts = s.experts.data() + t * top_k_;
      if (!keep_choices_) {
        std::copy_n(row, num_experts_, logits.begin());
        route(router_shape_, logits.data(), bias.data(), experts, unused.data());
        s.entropy[t] = score_entropy(logits);
      }
      T* weights = s.weights.data() + t * top_k_;
      T sum = 0;
      for (size_t k = 0; k < top_k_; ++k) {
        weights[k] = 1 / (1 + std::exp(-row[experts[k]]));
        sum += weights[k];
      }
      for (size_t k = 0; k < top_k_; ++k) {
        if (router_shape_.norm_topk_prob) weights[k] /= sum + static_cast<T>(1e-20);
        weights[k] *= static_cast<T>(config_.routed_scaling_factor);
      }
    }
  });
  group_rows(p, s);
}

// Rows of the experts: tokens in order within each expert.
template <class Ops>
void Graph<Ops>::group_rows(const LayerParams& p, LayerState& s) {
  const size_t rows = n_ * top_k_;
  std::vector<uint32_t> next(num_experts_ + 1);
  for (size_t i = 0; i < rows; ++i) ++next[static_cast<size_t>(s.experts[i]) + 1];
  s.gate_groups.clear();
  s.down_groups.clear();
  for (size_t e = 0; e < num_experts_; ++e) {
    if (next[e + 1]) {
      s.gate_groups.push_back({p.experts[e].gate_up, next[e], next[e + 1]});
      s.down_groups.push_back({p.experts[e].down, next[e], next[e + 1]});
    }
    next[e + 1] += next[e];
  }
  s.token_of.resize(std::max(s.token_of.size(), rows));
  s.row_of.resize(std::max(s.row_of.size(), rows));
  room(s.row_weights, rows);
  for (size_t i = 0; i < rows; ++i) {
    const uint32_t row = next[static_cast<size_t>(s.experts[i])]++;
    s.token_of[row] = static_cast<uint32_t>(i / top_k_);
    s.row_of[i] = row;
    s.row_weights[row] = s.weights[i];
  }
}

// Rows [rows, hidden] of the tokens of each expert.
template <class T, class Ops>
void gather_rows(Ops& ops, const T* x, const std::vector<uint32_t>& token_of, size_t rows,
                 size_t hidden, T* out) {
  ops.for_rows(rows, [&](size_t begin, size_t end) {
    for (size_t r = begin; r < end; ++r) {
      std::copy_n(x + token_of[r] * hidden, hidden, out + r * hidden);
    }
  });
}

// A row's weight multiplies its activation, before the down product, which is linear.
template <class Ops>
void Graph<Ops>::experts_forward(const LayerParams& p, LayerState& s, T* out) {
  const size_t rows = n_ * top_k_, width = p.experts[0].intermediate();
  gather_rows(ops_, s.x2.data(), s.token_of, rows, hidden_, room(rows_x_, rows * hidden_));
  ops_.linear(s.gate_groups, rows_x_.data(), room(s.row_gate_up, rows * 2 * width));
  ops_.swiglu(s.row_gate_up.data(), width, rows, s.row_weights.data(),
              room(s.row_act, rows * width));
  ops_.linear(s.down_groups, s.row_act.data(), room(rows_out_, rows * hidden_));
  const bool shared = p.shared.down.rows > 0;
  if (shared) gated_forward(p.shared, s, room(out_, n_ * hidden_));
  ops_.for_rows(n_, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      T* to = out + t * hidden_;
      for (size_t k = 0; k < top_k_; ++k) {
        const T* row = rows_out_.data() + s.row_of[t * top_k_ + k] * hidden_;
        for (size_t i = 0; i < hidden_; ++i) to[i] = k == 0 ? row[i] : to[i] + row[i];
      }
      if (!shared) continue;
      for (size_t i = 0; i < hidden_; ++i) to[i] += out_[t * hidden_ + i];
    }
  });
}

// dx_ = the gradient of x2.
template <class Ops>
void Graph<Ops>::experts_backward(const LayerParams& p, LayerState& s, const T* d_out) {
  const size_t rows = n_ * top_k_, width = p.experts[0].intermediate();
  gather_rows(ops_, d_out, s.token_of, rows, hidden_, room(rows_out_, rows * hidden_));
  ops_.linear_dx(s.down_groups, rows_out_.data(), room(d_act_, rows * width), false);
  ops_.linear_dw(s.down_groups, rows_out_.data(), s.row_act.data());
  ops_.swiglu_backward(s.row_gate_up.data(), d_act_.data(), width, rows, s.row_weights.data(),
                       room(d_gate_up_, rows * 2 * width), room(d_row_weights_, rows));
  gather_rows(ops_, s.x2.data(), s.token_of, rows, hidden_, room(rows_x_, rows * hidden_));
  ops_.linear_dw(s.gate_groups, d_gate_up_.data(), rows_x_.data());
  ops_.linear_dx(s.gate_groups, d_gate_up_.data(), rows_x_.data(), false);
  ops_.for_rows(n_, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      T* to = dx_.data() + t * hidden_;
      for (size_t k = 0; k < top_k_; ++k) {
        const T* row = rows_x_.data() + s.row_of[t * top_k_ + k] * hidden_;
        for (size_t i = 0; i < hidden_; ++i) to[i] = k == 0 ? row[i] : to[i] + row[i];
      }
    }
  });
  if (p.shared.down.rows) gated_backward(p.shared, s, d_out, true);
  router_backward(p, s, d_row_weights_.data());
}

// With s = sigmoid(logit), S the sum over the chosen and f the scaling factor:
//   weight = f s / S    d_s_i = f / S (d_weight_i - sum_j d_weight_j s_j / S)
//   without normalisation  d_s_i = f d_weight_i;  d_logit = d_s s (1 - s)
template <class Ops>
void Graph<Ops>::router_backward(const LayerParams& p, LayerState& s, const T* d_row_weights) {
  room(d_weights_, n_ * top_k_);
  const T factor = static_cast<T>(config_.routed_scaling_factor);
  ops_.for_rows(n_, [&](size_t begin, size_t end) {
    std::vector<T> scores(top_k_);
    for (size_t t = begin; t < end; ++t) {
      const size_t at = t * top_k_;
      T sum = static_cast<T>(1e-20), dot = 0;
      for (size_t k = 0; k < top_k_; ++k) {
        const T logit = s.logits[t * num_experts_ + static_cast<size_t>(s.experts[at + k])];
        scores[k] = 1 / (1 + std::exp(-logit));
        sum += scores[k];
        dot += d_row_weights[s.row_of[at + k]] * scores[k];
      }
      for (size_t k = 0; k < top_k_; ++k) {
        T d = d_row_weights[s.row_of[at + k]];
        if (router_shape_.norm_topk_prob) d = (d - dot / sum) / sum;
        d_weights_[at + k] = factor * d * scores[k] * (1 - scores[k]);
      }
    }
  });
  ops_.router_backward(p.router, s.x2.data(), s.experts.data(), d_weights_.data(), top_k_, n_,
                       dx_.data());
}

template <class Ops>
void Graph<Ops>::count_router(const LayerState& s, MoeLayerStats& stats) const {
  stats.tokens_per_expert.assign(num_experts_, 0);
  for (size_t i = 0; i < n_ * top_k_; ++i) {
    ++stats.tokens_per_expert[static_cast<size_t>(s.experts[i])];
  }
  for (size_t t = 0; t < n_; ++t) stats.router_entropy_sum += double{s.entropy[t]};
}

}  // namespace axk1
