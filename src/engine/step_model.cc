#include "engine/step_model.h"

#include <algorithm>

#include "base/check.h"
#include "io/checksum.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

// The config in what it changes of the numbers, and some bytes of every part of the weights.
uint64_t weights_fingerprint(const Engine& engine, bool mtp) {
  Checksum64 sum;
  const auto add = [&](const void* data, size_t bytes) {
    sum.update({static_cast<const std::byte*>(data), bytes});
  };
  const ModelConfig& c = engine.config();
  const std::string text = cat(
      c.vocab_size, " ", c.hidden_size, " ", c.num_hidden_layers, " ", c.num_attention_heads, " ",
      c.n_routed_experts, " ", c.num_experts_per_tok, " ", c.n_group, " ", c.topk_group, " ",
      c.kv_lora_rank, " ", c.q_lora_rank, " ", c.qk_nope_head_dim, " ", c.qk_rope_head_dim, " ",
      c.v_head_dim, " ", c.routed_scaling_factor, " ", c.rms_norm_eps, " ", c.lora_norm_eps, " ",
      c.norm_topk_prob, " ", c.rope_interleave, " ", c.has_post_mlp_norm, " ",
      static_cast<int>(c.group_score), " ", c.softmax_scale(), " ", c.rope_attention_scaling(), " ",
      dtype_name(engine.weights().compute_dtype), " ", engine.kernels().name);
  add(text.data(), text.size());
  const std::vector<float> angles = c.rope_inv_freq();
  add(angles.data(), angles.size() * sizeof(float));
  const auto vector = [&](const std::vector<float>& v) { add(v.data(), v.size() * sizeof(float)); };
  const auto matrix = [&](const MatrixView& m) {
    if (!m.data || !m.rows) return;
    constexpr size_t kSample = 4096;
    const size_t bytes = matrix_bytes(m.dtype, m.rows, m.cols);
    const size_t part = std::min(bytes, kSample);
    const char* data = static_cast<const char*>(m.data);
    for (size_t at : {size_t{0}, (bytes - part) / 2, bytes - part}) add(data + at, part);
    add(dtype_name(m.dtype), 2);
  };
  const auto mlp = [&](const ExpertWeights& w) { matrix(w.gate), matrix(w.up), matrix(w.down); };
  const ModelWeights& weights = engine.weights();
  matrix(weights.embed_tokens);
  const auto layer = [&](const LayerWeights& w) {
    for (const auto* v : {&w.input_layernorm, &w.post_attention_layernorm, &w.post_mlp_layernorm,
                          &w.q_a_layernorm, &w.kv_a_layernorm, &w.e_score_correction_bias}) {
      vector(*v);
    }
    for (const auto* m : {&w.q_proj, &w.q_a_proj, &w.q_b_proj, &w.kv_a_proj_with_mqa, &w.kv_b_proj,
                          &w.o_proj, &w.router}) {
      matrix(*m);
    }
    mlp(w.mlp);
    mlp(w.shared_experts);
    if (!w.experts.empty()) mlp(w.experts.front()), mlp(w.experts.back());
  };
  for (const LayerWeights& w : weights.layers) layer(w);
  if (mtp) {
    for (const auto* v : {&weights.norm, &weights.mtp->enorm, &weights.mtp->hnorm}) vector(*v);
    matrix(weights.mtp->eh_proj);
    layer(weights.mtp->layer);
  }
  return sum.digest();
}

class EngineModel : public StepModel {
 public:
  EngineModel(Engine& engine, bool mtp)
      : engine_(engine), mtp_(mtp && engine.weights().mtp.has_value()) {
    if (mtp_) engine.forward().reserve_mtp();
  }

  AnswerModel answer_model() const override { return axk1::answer_model(engine_); }
  size_t max_step_tokens() const override { return engine_.forward().options().max_batch_tokens; }
  ModelMemory memory() const override {
    ModelMemory memory{.scratch = engine_.forward().scratch_bytes()};
    const ModelWeights& weights = engine_.weights();
    for (const SafetensorsFile& file : weights.files) memory.weights += file.size_bytes();
    for (const K1PackFile& pack : weights.packs) memory.weights += pack.size_bytes();
    for (const Buffer& buffer : weights.buffers) memory.weights += buffer.size_bytes();
    return memory;
  }
  KvCache new_cache() const override {
    return KvCache(engine_.config(), engine_.forward().cache_dtype(), mtp_ ? 1 : 0);
  }
  size_t block_bytes() const override { return new_cache().block_bytes(); }
  uint64_t fingerprint() const override {
    return weights_fingerprint(engine_, mtp_) ^
           checksum64(cache_dtype_name(engine_.forward().cache_dtype()));
  }

  void run(std::span<const SequenceInput> batch) override {
    batch_.assign(batch.begin(), batch.end());
    for (SequenceInput& input : batch_) input.mla_form = MlaForm::kAbsorbed;
    engine_.forward().run(batch_);
  }
  std::span<const float> logits(size_t first_row, size_t count) override {
    return engine_.forward().logits(first_row, count);
  }
  void reserve_logits(size_t rows) override { engine_.forward().reserve_logits(rows); }

  bool has_mtp() const override { return mtp_; }
  void run_mtp(std::span<const MtpInput> batch) override {
    mtp_batch_.assign(batch.begin(), batch.end());
    for (MtpInput& input : mtp_batch_) input.mla_form = MlaForm::kAbsorbed;
    engine_.forward().run_mtp(mtp_batch_);
  }
  size_t hidden_size() const override {
    return mtp_ ? static_cast<size_t>(engine_.config().hidden_size) : 0;
  }
  void copy_hidden(size_t first_row, size_t count, float* to) const override {
    engine_.forward().copy_hidden(first_row, count, to);
  }

 private:
  Engine& engine_;
  const bool mtp_;
  std::vector<SequenceInput> batch_;
  std::vector<MtpInput> mtp_batch_;
};

class NullModel : public StepModel {
 public:
  explicit NullModel(Engine& engine) : engine_(engine) {
    // One number a position, in one layer.
    config_.num_hidden_layers = 1;
    config_.kv_lora_rank = 1;
    // The first tokens that are whole text by themselves.
    const Tokenizer* tokenizer = engine.tokenizer();
    for (TokenId id = 0; answer_.size() < kAnswerTokens; ++id) {
      if (static_cast<size_t>(id) >= engine.vocab_size()) break;
      if (is_eos(id)) continue;
      if (tokenizer && !is_word(*tokenizer, id)) continue;
      answer_.push_back(id);
    }
    if (answer_.empty()) answer_.push_back(0);
  }

  AnswerModel answer_model() const override { return axk1::answer_model(engine_); }
  size_t max_step_tokens() const override { return engine_.forward().options().max_batch_tokens; }
  ModelMemory memory() const override { return {}; }
  KvCache new_cache() const override { return KvCache(config_, CacheDType::kF32); }
  size_t block_bytes() const override { return new_cache().block_bytes(); }
  uint64_t fingerprint() const override { return 0; }

  void run(std::span<const SequenceInput> batch) override {
    next_.clear();
    for (const SequenceInput& input : batch) {
      for (size_t i = 0; i < input.tokens.size(); ++i) {
        if (!input.all_logits && i + 1 < input.tokens.size()) continue;
        next_.push_back(answer_[(input.cache->length() + i) % answer_.size()]);
      }
      input.cache->advance(input.tokens.size());
    }
  }
  std::span<const float> logits(size_t first_row, size_t count) override {
    AXK1_CHECK(first_row + count <= next_.size());
    const size_t vocab = engine_.vocab_size();
    reserve_logits(count);
    for (size_t i = 0; i < count; ++i) {
      float* row = logits_.data() + i * vocab;
      row[static_cast<size_t>(marked_[i])] = 0;
      marked_[i] = next_[first_row + i];
      row[static_cast<size_t>(marked_[i])] = 20;
    }
    return {logits_.data(), count * vocab};
  }
  void reserve_logits(size_t rows) override {
    if (marked_.size() >= rows) return;
    logits_.resize(rows * engine_.vocab_size());
    marked_.resize(rows);
  }

 private:
  static constexpr size_t kAnswerTokens = 97;

  bool is_eos(TokenId id) const {
    const auto& eos = engine_.eos_token_ids();
    return std::find(eos.begin(), eos.end(), id) != eos.end();
  }
  static bool is_word(const Tokenizer& tokenizer, TokenId id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    return !tokenizer.is_special(id) && bytes.size() >= 3 &&
           std::all_of(bytes.begin(), bytes.end(),
                       [](char c) { return c == ' ' || (c >= 'a' && c <= 'z'); });
  }

  Engine& engine_;
  ModelConfig config_;
  std::vector<TokenId> answer_;
  std::vector<TokenId> next_;    // [logit rows] of the last step
  std::vector<float> logits_;    // zeros but for one number in each row
  std::vector<TokenId> marked_;  // [rows] where that is
};

}  // namespace

void StepModel::run_mtp(std::span<const MtpInput>) {
  AXK1_CHECK(false);  // has_mtp() says no
}

void StepModel::copy_hidden(size_t, size_t, float*) const {
  AXK1_CHECK(false);
}

std::unique_ptr<StepModel> make_engine_model(Engine& engine, bool mtp) {
  return std::make_unique<EngineModel>(engine, mtp);
}

std::unique_ptr<StepModel> make_null_model(Engine& engine) {
  return std::make_unique<NullModel>(engine);
}

}  // namespace axk1
