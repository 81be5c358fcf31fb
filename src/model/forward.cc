#include "model/forward.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"

namespace axk1 {

MlaShape mla_shape(const ModelConfig& c) {
  return {.num_heads = static_cast<size_t>(c.num_attention_heads),
          .qk_nope_head_dim = static_cast<size_t>(c.qk_nope_head_dim),
          .qk_rope_head_dim = static_cast<size_t>(c.qk_rope_head_dim),
          .v_head_dim = static_cast<size_t>(c.v_head_dim),
          .kv_lora_rank = static_cast<size_t>(c.kv_lora_rank)};
}

namespace {

RouterShape router_shape(const ModelConfig& c) {
  return {.num_experts = static_cast<size_t>(c.n_routed_experts),
          .top_k = static_cast<size_t>(c.num_experts_per_tok),
          .num_groups = static_cast<size_t>(c.n_group),
          .top_groups = static_cast<size_t>(c.topk_group),
          .group_score = c.group_score,
          .norm_topk_prob = c.norm_topk_prob,
          .scaling_factor = static_cast<float>(c.routed_scaling_factor)};
}

}  // namespace

MoeShape moe_shape(const ModelConfig& c) {
  const bool any_dense =
      std::find(c.is_moe_layer.begin(), c.is_moe_layer.end(), false) != c.is_moe_layer.end();
  const bool any_moe = c.num_moe_layers() > 0;
  MoeShape shape{.hidden_size = static_cast<size_t>(c.hidden_size)};
  if (any_dense) shape.max_shared_intermediate = static_cast<size_t>(c.intermediate_size);
  if (any_moe) {
    shape.num_experts = static_cast<size_t>(c.n_routed_experts);
    shape.top_k = static_cast<size_t>(c.num_experts_per_tok);
    shape.moe_intermediate_size = static_cast<size_t>(c.moe_intermediate_size);
    shape.max_shared_intermediate =
        std::max(shape.max_shared_intermediate,
                 static_cast<size_t>(c.n_shared_experts * c.moe_intermediate_size));
  }
  return shape;
}

Forward::Forward(const ModelConfig& config, const ModelWeights& weights, const KernelTable& kernels,
                 ThreadPool& pool, const ForwardOptions& options)
    : config_(config),
      weights_(weights),
      ctx_{kernels, pool},
      options_(options),
      dtype_(weights.compute_dtype),
      router_shape_(router_shape(config)),
      inv_freq_(config.rope_inv_freq()),
      cache_dtype_(options.cache_dtype.value_or(default_cache_dtype(dtype_))),
      mla_(mla_shape(config), static_cast<float>(config.softmax_scale()), cache_dtype_,
           options.max_batch_tokens, pool.num_threads()),
      moe_(moe_shape(config), dtype_, weights.any_quantized(), options.max_batch_tokens) {
  const size_t tokens = options.max_batch_tokens;
  const size_t hidden = static_cast<size_t>(config.hidden_size);
  const MlaShape shape = mla_shape(config);
  const auto f32 = [&](size_t width) { return Buffer(tokens * width * sizeof(float)); };
  hidden_ = f32(hidden);
  x_ = f32(hidden);
  if (dtype_ == DType::kBF16) x16_ = Buffer(tokens * hidden * sizeof(uint16_t));
  if (weights.any_quantized()) {
    const size_t widest =
        std::max({weights.mtp ? 2 * hidden : hidden, static_cast<size_t>(config.q_lora_rank),
                  shape.num_heads * shape.v_head_dim});
    xq_ = Buffer(tokens * activation_row_bytes(widest));
  }
  cos_ = f32(inv_freq_.size());
  sin_ = f32(inv_freq_.size());
  q_a_ = f32(static_cast<size_t>(config.q_lora_rank));
  kv_a_ = f32(shape.latent_dim());
  q_ = f32(shape.num_heads * shape.qk_head_dim());
  attn_ = f32(shape.num_heads * shape.v_head_dim);
  out_ = f32(hidden);
  if (config.num_moe_layers()) {
    router_logits_ = f32(router_shape_.num_experts);
    expert_indices_.resize(tokens * router_shape_.top_k);
    expert_weights_.resize(tokens * router_shape_.top_k);
  }
  cache_of_.reserve(tokens);
  position_of_.reserve(tokens);
  token_of_.reserve(tokens);
  logit_rows_.reserve(tokens);
  sources_.reserve(tokens);
  sequences_.reserve(tokens);
  mla_rows_.reserve(tokens);
}

void Forward::reserve_mtp() {
  AXK1_CHECK(weights_.mtp.has_value());
  const size_t width = 2 * static_cast<size_t>(config_.hidden_size);
  if (pair_.size_bytes() == 0) pair_ = Buffer(options_.max_batch_tokens * width * sizeof(float));
}

std::span<const float> Forward::hidden_rows(const Buffer& x) const {
  return {x.as<float>(), num_tokens_ * static_cast<size_t>(config_.hidden_size)};
}

// y = rms_norm(x) for every token.
void Forward::norm_rows(const float* x, const std::vector<float>& weight, float eps, float* y) {
  const size_t n = weight.size();
  ctx_.pool.parallel_for(num_tokens_, 1, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      ctx_.kernels.rms_norm(x + t * n, weight.data(), eps, y + t * n, n);
    }
  });
}

// x [tokens, cols] for the products with `used`, rounded for the quantised ones of them. The
// rounded form lasts until the next call.
ActivationView Forward::activations(const Buffer& x, size_t cols,
                                    std::span<const MatrixView* const> used) {
  ActivationView view{.plain = x.data(), .dtype = DType::kF32, .cols = cols};
  const bool quantized = std::any_of(used.begin(), used.end(),
                                     [](const MatrixView* w) { return is_quantized(w->dtype); });
  if (!quantized) return view;
  const size_t row_bytes = activation_row_bytes(cols);
  ctx_.pool.parallel_for(num_tokens_, 1, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      ctx_.kernels.quantize_row(x.as<float>() + t * cols, xq_.as<char>() + t * row_bytes, cols);
    }
  });
  view.quantized = xq_.data();
  return view;
}

namespace {

// y [cols] = one row of an embedding table.
void embedding_row(const KernelTable& kernels, const MatrixView& table, size_t row, float* y) {
  if (is_quantized(table.dtype)) return dequantize_row(table.dtype, table.data, table.cols, row, y);
  const void* data = table.slice_rows(row, 1).data;
  switch (table.dtype) {
    case DType::kF32:
      std::memcpy(y, data, table.cols * sizeof(float));
      return;
    case DType::kBF16:
      return kernels.bf16_to_f32(static_cast<const uint16_t*>(data), y, table.cols);
    case DType::kF16:
      return kernels.f16_to_f32(static_cast<const uint16_t*>(data), y, table.cols);
    default:
      AXK1_CHECK(false);
  }
}

}  // namespace

void Forward::run(std::span<const SequenceInput> batch, ForwardObserver* observer) {
  ctx_.observer = observer ? observer->products() : nullptr;
  begin_batch();
  bool every_row = observer && observer->needs_every_row();
  for (const SequenceInput& input : batch) {
    AXK1_CHECK(!input.tokens.empty() && input.cache);
    add_sequence({.cache = input.cache,
                  .position = input.cache->length(),
                  .num_tokens = input.tokens.size(),
                  .num_logits = input.all_logits ? input.tokens.size() : 1,
                  .mla_form = input.mla_form},
                 input.tokens);
    every_row = every_row || input.all_hidden;
  }
  embed();
  if (observer) observer->hidden(0, hidden_rows(hidden_));
  for (size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    const bool last = layer + 1 == weights_.layers.size();
    run_layer(layer, weights_.layers[layer], last && num_logit_rows_ < num_tokens_ && !every_row,
              observer);
    if (observer) observer->hidden(layer + 1, hidden_rows(hidden_));
  }
  last_norm_ = &weights_.norm;
  for (const SequenceInput& input : batch) input.cache->advance(input.tokens.size());
  ctx_.observer = nullptr;
}

void Forward::run_mtp(std::span<const MtpInput> batch) {
  AXK1_CHECK(weights_.mtp && pair_.size_bytes() && last_norm_);
  const MtpWeights& w = *weights_.mtp;
  const size_t hidden = static_cast<size_t>(config_.hidden_size);
  const float eps = static_cast<float>(config_.rms_norm_eps);
  const size_t num_rows_before = num_tokens_;
  begin_batch();
  for (const MtpInput& input : batch) {
    AXK1_CHECK(!input.tokens.empty() && input.cache);
    AXK1_CHECK(input.cache->num_layers() > weights_.layers.size());
    AXK1_CHECK(input.hidden || input.first_row + input.tokens.size() <= num_rows_before);
    const float* rows =
        input.hidden ? input.hidden : hidden_.as<float>() + input.first_row * hidden;
    const float* norm = input.hidden ? weights_.norm.data() : last_norm_->data();
    for (size_t i = 0; i < input.tokens.size(); ++i) sources_.push_back({rows + i * hidden, norm});
    add_sequence({.cache = input.cache,
                  .position = input.position,
                  .num_tokens = input.tokens.size(),
                  .num_logits = input.logits ? size_t{1} : 0,
                  .mla_form = input.mla_form},
                 input.tokens);
  }
  ctx_.pool.parallel_for(num_tokens_, 1, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      float* row = x_.as<float>() + t * hidden;
      float* pair = pair_.as<float>() + t * 2 * hidden;
      embedding_row(ctx_.kernels, weights_.embed_tokens, static_cast<size_t>(token_of_[t]), row);
      ctx_.kernels.rms_norm(row, w.enorm.data(), eps, pair, hidden);
      ctx_.kernels.rms_norm(sources_[t].hidden, sources_[t].norm, eps, row, hidden);
      ctx_.kernels.rms_norm(row, w.hnorm.data(), eps, pair + hidden, hidden);
      make_angles(t);
    }
  });
  matmul(ctx_, matmul_task(activations(pair_, 2 * hidden, std::array{&w.eh_proj}), w.eh_proj,
                           num_tokens_, hidden_.as<float>(), hidden));
  run_layer(weights_.layers.size(), w.layer, num_logit_rows_ < num_tokens_, nullptr);
  last_norm_ = &w.norm;
}

void Forward::copy_hidden(size_t first_row, size_t count, float* to) const {
  AXK1_CHECK(first_row + count <= num_tokens_);
  const size_t hidden = static_cast<size_t>(config_.hidden_size);
  std::copy_n(hidden_.as<float>() + first_row * hidden, count * hidden, to);
}

// hidden += attention, hidden += mlp, of all rows or of those that get logits.
void Forward::run_layer(size_t layer, const LayerWeights& w, bool narrow,
                        ForwardObserver* observer) {
  const size_t hidden = static_cast<size_t>(config_.hidden_size);
  const float eps = static_cast<float>(config_.rms_norm_eps);
  norm_rows(hidden_.as<float>(), w.input_layernorm, eps, x_.as<float>());
  attention(layer, w, narrow);
  if (num_tokens_ == 0) return;
  if (observer) observer->attn_out(layer, hidden_rows(out_));

  // h += attention; x = the norm of that, and in bf16 what a bf16 MLP multiplies.
  ctx_.pool.parallel_for(num_tokens_, 1, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      float* h_row = hidden_.as<float>() + t * hidden;
      float* x_row = x_.as<float>() + t * hidden;
      ctx_.kernels.add(out_.as<float>() + t * hidden, h_row, hidden);
      ctx_.kernels.rms_norm(h_row, w.post_attention_layernorm.data(), eps, x_row, hidden);
      if (dtype_ == DType::kBF16) {
        ctx_.kernels.f32_to_bf16(x_row, x16_.as<uint16_t>() + t * hidden, hidden);
      }
    }
  });
  mlp(layer, w, observer);
  if (observer) observer->mlp_out(layer, hidden_rows(out_));
}

void Forward::begin_batch() {
  num_tokens_ = 0;
  sequences_.clear();
  cache_of_.clear();
  position_of_.clear();
  token_of_.clear();
  logit_rows_.clear();
  sources_.clear();
}

// Positions, tokens, and which rows will want logits.
void Forward::add_sequence(const Sequence& s, std::span<const int32_t> tokens) {
  AXK1_CHECK(s.cache->dtype() == cache_dtype_);
  AXK1_CHECK(s.cache->capacity() >= s.position + s.num_tokens);
  AXK1_CHECK(num_tokens_ + s.num_tokens <= options_.max_batch_tokens);
  for (size_t i = 0; i < s.num_tokens; ++i) {
    AXK1_CHECK(tokens[i] >= 0 && static_cast<size_t>(tokens[i]) < weights_.embed_tokens.rows);
    cache_of_.push_back(s.cache);
    position_of_.push_back(s.position + i);
    token_of_.push_back(tokens[i]);
    if (i + s.num_logits >= s.num_tokens) {
      logit_rows_.push_back(static_cast<uint32_t>(num_tokens_));
    }
    ++num_tokens_;
  }
  num_logit_rows_ = logit_rows_.size();
  sequences_.push_back(s);
}

// Rotary angles of a row.
void Forward::make_angles(size_t t) {
  const size_t half = inv_freq_.size();
  rope_angles(position_of_[t], inv_freq_, static_cast<float>(config_.rope_attention_scaling()),
              cos_.as<float>() + t * half, sin_.as<float>() + t * half);
}

// h = embedding of every token.
void Forward::embed() {
  const size_t hidden = static_cast<size_t>(config_.hidden_size);
  ctx_.pool.parallel_for(num_tokens_, 1, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      embedding_row(ctx_.kernels, weights_.embed_tokens, static_cast<size_t>(token_of_[t]),
                    hidden_.as<float>() + t * hidden);
      make_angles(t);
    }
  });
}

// From here on the batch is its rows that get logits, moved to the front: of the last layer nobody
// reads the others, whose latents the cache has already.
void Forward::keep_logit_rows() {
  const size_t hidden = static_cast<size_t>(config_.hidden_size), half = inv_freq_.size();
  for (size_t i = 0; i < num_logit_rows_; ++i) {
    const size_t row = logit_rows_[i];  // at or after i
    const auto move = [&](Buffer& rows, size_t width) {
      std::copy_n(rows.as<float>() + row * width, width, rows.as<float>() + i * width);
    };
    if (row == i) continue;
    move(hidden_, hidden);
    move(x_, hidden);
    move(cos_, half);
    move(sin_, half);
    logit_rows_[i] = static_cast<uint32_t>(i);
  }
  num_tokens_ = num_logit_rows_;
}

// out = o_proj(attention(x)), of all rows or of those that get logits.
void Forward::attention(size_t layer, const LayerWeights& w, bool narrow) {
  const MlaShape shape = mla_shape(config_);
  const size_t hidden = static_cast<size_t>(config_.hidden_size);
  const size_t q_lora = static_cast<size_t>(config_.q_lora_rank);
  const float eps = static_cast<float>(config_.lora_norm_eps);
  const size_t q_width = shape.num_heads * shape.qk_head_dim();
  const auto task = [&](const ActivationView& x, const MatrixView& weight, Buffer& y) {
    return matmul_task(x, weight, num_tokens_, y.as<float>(), weight.rows);
  };

  // Latents of keys and values, and queries (through their own latent when q_lora_rank is set).
  const MatrixView& q_in = q_lora ? w.q_a_proj : w.q_proj;
  Buffer& q_first = q_lora ? q_a_ : q_;
  ActivationView x = activations(x_, hidden, std::array{&w.kv_a_proj_with_mqa, &q_in});
  const MatmulTask kv_a = task(x, w.kv_a_proj_with_mqa, kv_a_);
  if (narrow) {
    matmul(ctx_, kv_a);
    write_cache(layer, w);
    keep_logit_rows();
    if (num_tokens_ == 0) return;
    x = activations(x_, hidden, std::array{&q_in});
    matmul(ctx_, task(x, q_in, q_first));
  } else {
    matmul(ctx_, std::array{kv_a, task(x, q_in, q_first)});
    write_cache(layer, w);
  }
  if (q_lora) {
    norm_rows(q_a_.as<float>(), w.q_a_layernorm, eps, q_a_.as<float>());
    matmul(ctx_, task(activations(q_a_, q_lora, std::array{&w.q_b_proj}), w.q_b_proj, q_));
  }

  if (ctx_.observer) {
    ctx_.observer->rows(w.kv_b_proj, kv_a_.data(), DType::kF32, shape.latent_dim(), num_tokens_);
  }

  const size_t half = shape.qk_rope_head_dim / 2;
  ctx_.pool.parallel_for(num_tokens_ * shape.num_heads, 8, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const size_t t = i / shape.num_heads;
      rope(q_.as<float>() + i * shape.qk_head_dim() + shape.qk_nope_head_dim, half,
           cos_.as<float>() + t * half, sin_.as<float>() + t * half, config_.rope_interleave);
    }
  });

  mla_rows_.clear();
  size_t t = 0;
  for (const Sequence& sequence : sequences_) {
    const size_t num_rows = narrow ? sequence.num_logits : sequence.num_tokens;
    if (num_rows == 0) continue;
    mla_rows_.push_back({.q = q_.as<float>() + t * q_width,
                         .out = attn_.as<float>() + t * shape.num_heads * shape.v_head_dim,
                         .num_rows = num_rows,
                         .first_position = sequence.position + sequence.num_tokens - num_rows,
                         .blocks = sequence.cache->blocks(layer),
                         .num_step_rows = sequence.num_tokens,
                         .form = sequence.mla_form});
    t += num_rows;
  }
  mla_.run(ctx_, mla_rows_, w.kv_b_proj, options_.mla_form);

  const size_t width = shape.num_heads * shape.v_head_dim;
  matmul(ctx_, task(activations(attn_, width, std::array{&w.o_proj}), w.o_proj, out_));
}

// The cache row of every token: the normed latent and the rotated shared key.
void Forward::write_cache(size_t layer, const LayerWeights& w) {
  const MlaShape shape = mla_shape(config_);
  const size_t lora = shape.kv_lora_rank, latent = shape.latent_dim();
  const size_t half = shape.qk_rope_head_dim / 2;
  const float eps = static_cast<float>(config_.lora_norm_eps);
  ctx_.pool.parallel_for(num_tokens_, 1, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      float* kv = kv_a_.as<float>() + t * latent;
      ctx_.kernels.rms_norm(kv, w.kv_a_layernorm.data(), eps, kv, lora);
      rope(kv + lora, half, cos_.as<float>() + t * half, sin_.as<float>() + t * half,
           config_.rope_interleave);
      write_latent_row(ctx_.kernels, cache_dtype_, shape.latent(), kv,
                       cache_of_[t]->row(layer, position_of_[t]));
    }
  });
}

// out = MLP or MoE of x, with the post-MLP norm; h += out.
void Forward::mlp(size_t layer, const LayerWeights& w, ForwardObserver* observer) {
  const size_t hidden = static_cast<size_t>(config_.hidden_size);
  const bool bf16 = dtype_ == DType::kBF16;
  const ExpertWeights& routed = w.is_moe ? w.experts[0] : w.mlp;
  const ExpertWeights& always = w.is_moe && w.shared_experts.gate ? w.shared_experts : routed;
  Moe::Input input{
      .x = activations(x_, hidden, std::array{&routed.gate, &routed.up, &always.gate, &always.up}),
      .num_tokens = num_tokens_};
  if (bf16) input.x.plain = x16_.data(), input.x.dtype = DType::kBF16;
  if (w.is_moe) {
    const size_t experts = router_shape_.num_experts, top_k = router_shape_.top_k;
    matmul(ctx_, MatmulTask{.x = x_.data(),
                            .x_dtype = DType::kF32,
                            .x_stride = hidden,
                            .w = w.router,
                            .y = router_logits_.as<float>(),
                            .y_stride = experts,
                            .m = num_tokens_});
    const float* logits = router_logits_.as<float>();
    ctx_.pool.parallel_for(num_tokens_, 8, [&](size_t begin, size_t end) {
      for (size_t t = begin; t < end; ++t) {
        route(router_shape_, logits + t * experts, w.e_score_correction_bias.data(),
              expert_indices_.data() + t * top_k, expert_weights_.data() + t * top_k);
      }
    });
    input.indices = {expert_indices_.data(), num_tokens_ * top_k};
    input.weights = {expert_weights_.data(), num_tokens_ * top_k};
    input.experts = w.experts;
    if (w.shared_experts.gate) input.shared = &w.shared_experts;
    if (observer) {
      size_t moe_idx = 0;
      for (size_t i = 0; i < layer; ++i) moe_idx += weights_.layers[i].is_moe;
      observer->router(moe_idx, {logits, num_tokens_ * experts}, input.indices, input.weights);
    }
  } else {
    input.shared = &w.mlp;
  }
  moe_.run(ctx_, input);

  const float eps = static_cast<float>(config_.rms_norm_eps);
  ctx_.pool.parallel_for(num_tokens_, 1, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      float* out = out_.as<float>() + t * hidden;
      moe_.combine(ctx_.kernels, t, out);
      if (!w.post_mlp_layernorm.empty()) {
        ctx_.kernels.rms_norm(out, w.post_mlp_layernorm.data(), eps, out, hidden);
      }
      ctx_.kernels.add(out, hidden_.as<float>() + t * hidden, hidden);
    }
  });
}

MlaForm Forward::mla_form(size_t num_rows) const {
  if (options_.mla_form != MlaForm::kAutomatic) return options_.mla_form;
  return cheaper_mla_form(ctx_.kernels, mla_shape(config_), cache_dtype_, num_rows);
}

void Forward::reserve_logits(size_t rows) {
  const size_t bytes = rows * weights_.lm_head.rows * sizeof(float);
  if (logits_.size_bytes() < bytes) logits_ = Buffer(bytes);
}

size_t Forward::scratch_bytes() const {
  size_t bytes = mla_.scratch_bytes() + moe_.scratch_bytes();
  for (const Buffer* buffer : {&hidden_, &x_, &x16_, &xq_, &pair_, &cos_, &sin_, &q_a_, &kv_a_, &q_,
                               &attn_, &out_, &router_logits_}) {
    bytes += buffer->size_bytes();
  }
  return bytes;
}

std::span<const float> Forward::logits(size_t first_row, size_t count) {
  AXK1_CHECK(first_row + count <= num_logit_rows_);
  const size_t hidden = static_cast<size_t>(config_.hidden_size);
  const size_t vocab = weights_.lm_head.rows;
  const float eps = static_cast<float>(config_.rms_norm_eps);
  reserve_logits(count);
  ActivationView x{.plain = x_.data(), .dtype = DType::kF32, .cols = hidden};
  if (is_quantized(weights_.lm_head.dtype)) x.quantized = xq_.data();
  ctx_.pool.parallel_for(count, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      float* row = x_.as<float>() + i * hidden;
      ctx_.kernels.rms_norm(hidden_.as<float>() + logit_rows_[first_row + i] * hidden,
                            last_norm_->data(), eps, row, hidden);
      if (x.quantized) {
        ctx_.kernels.quantize_row(row, xq_.as<char>() + i * activation_row_bytes(hidden), hidden);
      }
    }
  });
  matmul(ctx_, matmul_task(x, weights_.lm_head, count, logits_.as<float>(), vocab));
  return {logits_.as<float>(), count * vocab};
}

}  // namespace axk1
