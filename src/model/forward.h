// The forward pass of the A.X K1 graph, for batches of sequences, in prefill and in decode.
// Follows transformers' modeling_axk1.py; the steps are in docs/architecture.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/kernel_table.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/weights.h"
#include "ops/mla.h"
#include "ops/moe.h"
#include "ops/op_context.h"
#include "ops/rope.h"
#include "ops/router.h"
#include "parallel/thread_pool.h"

namespace axk1 {

// The next tokens of one sequence, which start at position cache->length().
struct SequenceInput {
  std::span<const int32_t> tokens;  // at least one
  KvCache* cache = nullptr;         // capacity for length() + tokens; written and advanced
  bool all_logits = false;          // logits for every token, else for the last one only
  bool all_hidden = false;          // hidden states of every token, for run_mtp()
  // Not kAutomatic: this form of attention. With one form for all its tokens, a sequence comes out
  // the same, to the last bit, however it is cut into steps.
  MlaForm mla_form = MlaForm::kAutomatic;
};

// Rows of one sequence for multi-token prediction. Row r stands for position + r.
struct MtpInput {
  size_t first_row = 0;             // its first hidden state, among the rows of the run before
  const float* hidden = nullptr;    // or [rows, hidden] that copy_hidden() gave
  std::span<const int32_t> tokens;  // at least one: the token after each position
  KvCache* cache = nullptr;         // with an MTP layer; written, not advanced
  size_t position = 0;              // capacity for position + tokens; earlier rows are there
  bool logits = false;              // for the last row
  MlaForm mla_form = MlaForm::kAutomatic;  // as above
};

// Sees intermediate results as they are made, [tokens of the batch, ..]; for comparing engines.
class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  // Whether the last layer must be computed also for rows that get no logits.
  virtual bool needs_every_row() const { return true; }
  // The residual stream: idx 0 is the embedding, idx i + 1 the output of layer i.
  virtual void hidden(size_t /*idx*/, std::span<const float>) {}
  // What attention, and what the MLP, adds to the residual stream.
  virtual void attn_out(size_t /*layer*/, std::span<const float>) {}
  virtual void mlp_out(size_t /*layer*/, std::span<const float>) {}
  // moe_idx counts MoE layers. logits [tokens, experts]; indices, weights [tokens, top_k].
  virtual void router(size_t /*moe_idx*/, std::span<const float> /*logits*/,
                      std::span<const int32_t> /*indices*/, std::span<const float> /*weights*/) {}
  // Not null: also sees the rows that every matrix of the layers multiplies (not lm_head, which
  // logits() multiplies). kv_b_proj gets the latents of the new tokens, before the cache rounds
  // them.
  virtual MatmulObserver* products() { return nullptr; }
};

// Sizes of attention, by the names of ops/mla.h, and of every layer's MLPs, by those of ops/moe.h.
MlaShape mla_shape(const ModelConfig& config);
MoeShape moe_shape(const ModelConfig& config);

struct ForwardOptions {
  size_t max_batch_tokens = 512;  // tokens of one run(), over all sequences
  MlaForm mla_form = MlaForm::kAutomatic;
  std::optional<CacheDType> cache_dtype;  // absent: the compute type
};

// Owns all memory that a step needs, reserved at construction: run() allocates nothing once the
// work lists have reached their size. References are kept. One thread at a time.
//
// Compute type f32 rounds nothing but sums. With bf16, the MLPs (dense, shared and routed: four
// fifths of A.X K1's arithmetic) multiply activations rounded to bf16, and the cache holds bf16
// unless the options say otherwise; router, head, norms, the residual stream and the projections of
// attention stay in f32 (for its products over the cache see ops/mla.h). So bf16 is closer to f32
// than the official implementation's bf16 is, where every activation is rounded. Quantised weights
// multiply activations rounded to 8 bits wherever they stand (kernels/kernel_table.h).
class Forward {
 public:
  Forward(const ModelConfig& config, const ModelWeights& weights, const KernelTable& kernels,
          ThreadPool& pool, const ForwardOptions& options = {});

  // Runs the tokens of all sequences, at most max_batch_tokens together, every token id within the
  // vocabulary. A sequence's result does not depend on the others.
  void run(std::span<const SequenceInput> batch, ForwardObserver* observer = nullptr);

  // Multi-token prediction (DeepSeek-V3, arXiv 2412.19437, section 2.2, with one depth): for the
  // token t_i and the hidden state h_i of its row after the last norm,
  //   x_i = eh_proj [enorm(embedding(t_(i+1))); hnorm(h_i)]    the embedding's half first
  //   h'_i = shared_head.norm(layer(x_i)),  logits = lm_head h'_i, which guess t_(i+2).
  // Halves and norms as in vLLM's deepseek_mtp.py and SGLang's deepseek_nextn.py, where h_i comes
  // after the model's final norm; like SGLang, and the report, nothing is masked at position 0.
  //
  // After run(), whose sequences had all_hidden where more than rows with logits are given, or
  // after run_mtp(): then h_i is h'_i, as SGLang has it, so that a guess can go on from a guess.
  // Its rows are then those that had logits, in order. Inputs are at most max_batch_tokens rows.
  // What run() computes does not depend on it. Needs reserve_mtp().
  void run_mtp(std::span<const MtpInput> batch);
  // Rows of the last run(), for a later run_mtp().
  void copy_hidden(size_t first_row, size_t count, float* to) const;
  // Takes the memory that run_mtp() needs; weights.mtp must be there.
  void reserve_mtp();

  // Logits [count, vocab_size] of rows of the last run() or run_mtp(), valid until the next call of
  // this object. Rows are in order of sequences: the last token of each, or all where asked for.
  std::span<const float> logits(size_t first_row, size_t count);
  size_t num_logit_rows() const { return num_logit_rows_; }
  // Takes the memory of so many rows of logits now.
  void reserve_logits(size_t rows);

  // Memory that this object holds, in bytes: of activations, without the logits.
  size_t scratch_bytes() const;

  CacheDType cache_dtype() const { return cache_dtype_; }
  // The form of attention for a sequence of this many new tokens.
  MlaForm mla_form(size_t num_rows) const;
  const ForwardOptions& options() const { return options_; }

 private:
  // What a run computes of one sequence.
  struct Sequence {
    KvCache* cache;
    size_t position, num_tokens;  // of the first token; rows
    size_t num_logits;            // the last ones
    MlaForm mla_form;
  };

  void begin_batch();
  void add_sequence(const Sequence& sequence, std::span<const int32_t> tokens);
  void embed();
  void make_angles(size_t t);
  std::span<const float> hidden_rows(const Buffer& x) const;  // [tokens, hidden]
  void run_layer(size_t layer, const LayerWeights& w, bool narrow, ForwardObserver* observer);
  void attention(size_t layer, const LayerWeights& w, bool narrow);
  void keep_logit_rows();
  void write_cache(size_t layer, const LayerWeights& w);
  void mlp(size_t layer, const LayerWeights& w, ForwardObserver* observer);
  void norm_rows(const float* x, const std::vector<float>& weight, float eps, float* y);
  ActivationView activations(const Buffer& x, size_t cols, std::span<const MatrixView* const> used);

  const ModelConfig& config_;
  const ModelWeights& weights_;
  OpContext ctx_;
  ForwardOptions options_;
  DType dtype_;  // of MLP activations: f32 or bf16
  RouterShape router_shape_;
  std::vector<float> inv_freq_;
  CacheDType cache_dtype_;
  Mla mla_;
  Moe moe_;

  size_t num_tokens_ = 0;  // of the batch that runs
  size_t num_logit_rows_ = 0;
  const std::vector<float>* last_norm_ = nullptr;  // of the hidden states in hidden_
  std::vector<Sequence> sequences_;
  std::vector<MlaRows> mla_rows_;
  std::vector<KvCache*> cache_of_;    // [tokens]
  std::vector<size_t> position_of_;   // [tokens]
  std::vector<int32_t> token_of_;     // [tokens]
  std::vector<uint32_t> logit_rows_;  // [logit rows] token index
  // Of run_mtp(): a hidden state and the weight [hidden] of the norm that follows it.
  struct Source {
    const float *hidden, *norm;
  };
  std::vector<Source> sources_;          // [tokens]
  Buffer hidden_;                        // [tokens, hidden] the residual stream
  Buffer x_, x16_;                       // [tokens, hidden] normed, and rounded to bf16
  Buffer xq_;                            // [tokens, widest input] rounded for quantised weights
  Buffer pair_;                          // [tokens, 2 * hidden] what eh_proj multiplies
  Buffer cos_, sin_;                     // [tokens, rope / 2]
  Buffer q_a_;                           // [tokens, q_lora_rank]
  Buffer kv_a_;                          // [tokens, kv_lora_rank + rope]
  Buffer q_;                             // [tokens, heads * qk_head_dim]
  Buffer attn_;                          // [tokens, heads * v_head_dim]
  Buffer out_;                           // [tokens, hidden] what is added to the residual stream
  Buffer router_logits_;                 // [tokens, experts]
  std::vector<int32_t> expert_indices_;  // [tokens, top_k]
  std::vector<float> expert_weights_;    // [tokens, top_k]
  Buffer logits_;                        // [rows, vocab], grows to the largest request
};

}  // namespace axk1
