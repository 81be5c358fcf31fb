// The architecture of a model, read from the config.json of a Hugging Face directory. Fields carry
// the names of config.json. Three model types share the graph: `axk1` (transformers), `AXK1` (the
// first release, remote code) and `deepseek_v3` (no post-MLP norm).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/named_files.h"
#include "ops/router.h"
#include "tensor/dtype.h"

namespace axk1 {

// Rotary embedding. Old configs spread it over rope_theta and rope_scaling, new ones have
// rope_parameters; both are read into this.
struct RopeParameters {
  std::string rope_type = "default";  // default | yarn
  double rope_theta = 10000;
  double factor = 1;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 0;          // 0 as absent: transformers tests it for truth
  double mscale_all_dim = 0;  // likewise; only this one corrects the softmax scale
  std::optional<double> attention_factor;
  bool truncate = true;  // round the correction range to whole dimensions
};

// Read-only after parse_model_config, which leaves every size within sane limits and consistent
// with the others: below 2^48 parameters in all, at most 2^20 experts over all layers, and no
// matrix, cache or activation size that overflows 64 bits.
struct ModelConfig {
  std::string model_type;  // as written: axk1, AXK1, deepseek_v3

  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;      // of a dense MLP
  int64_t moe_intermediate_size = 0;  // of one routed expert
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;  // no effect in MLA
  int64_t n_shared_experts = 0;     // one MLP, n_shared_experts * moe_intermediate_size wide
  int64_t n_routed_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t kv_lora_rank = 0;
  int64_t q_lora_rank = 0;  // 0: null in the file, queries come from one q_proj
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  int64_t max_position_embeddings = 0;
  // Multi-token-prediction layers that training has. Of a checkpoint its tensors decide: releases
  // name layers here that they do not carry (model/weights.h, MtpWeights).
  int64_t num_nextn_predict_layers = 0;

  double routed_scaling_factor = 1;
  double rms_norm_eps = 1e-6;
  // q_a_layernorm and kv_a_layernorm: transformers builds both without passing rms_norm_eps, so
  // they keep the default of the norm class (modeling_deepseek_v3.py, DeepseekV3Attention).
  double lora_norm_eps = 1e-6;
  bool norm_topk_prob = true;
  bool tie_word_embeddings = false;
  // True: rotate (x0,x1),(x2,x3),...; false: (x0,x[d/2]),...
  bool rope_interleave = true;
  bool attention_bias = false;  // always false: true is refused

  // transformers adds the two largest biased scores of a group (what every config gets); vLLM takes
  // the largest one when the checkpoint has no e_score_correction_bias. No config field of a
  // release chooses kMax: it is for callers that want to reproduce vLLM on such a checkpoint.
  GroupScore group_score = GroupScore::kTop2Sum;

  // RMSNorm of the MoE block's output before the residual add (axk1 and AXK1). Never on a dense
  // layer, although checkpoints carry its weight there too.
  bool has_post_mlp_norm = true;

  std::vector<bool> is_moe_layer;  // [num_hidden_layers]
  RopeParameters rope_parameters;
  DType dtype = DType::kBF16;          // of the checkpoint, as announced
  std::vector<int32_t> eos_token_ids;  // empty when the file has none
  std::optional<int32_t> bos_token_id;
  std::optional<int32_t> pad_token_id;

  int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  int64_t num_moe_layers() const;
  // A multi-token-prediction layer is of the mixture where the model has any such layer (as in
  // SGLang's deepseek_nextn.py), else dense.
  bool mtp_layer_is_moe() const { return num_moe_layers() > 0; }

  // Factor of q.k before the softmax: qk_head_dim^-0.5, times the squared YaRN mscale when
  // mscale_all_dim is not 0 (modeling_deepseek_v3.py, DeepseekV3Attention).
  double softmax_scale() const;

  // Factor of cos and sin (modeling_rope_utils.py, _compute_yarn_parameters); 1 without YaRN.
  double rope_attention_scaling() const;

  // [qk_rope_head_dim / 2] angles per position, computed in f32 as the same function does.
  std::vector<float> rope_inv_freq() const;
};

// Throws Error naming `source`, the field, what was found and what was expected: kInvalidInput for
// values that make no model, kUnsupported for a model type or a feature that is not computed.
// Unknown fields are ignored.
ModelConfig parse_model_config(const json::value& config, const std::string& source);

// From a model directory, a k1pack file or the path of a config.json.
ModelConfig load_model_config(const std::string& path);
ModelConfig load_model_config(const NamedFiles& files);

}  // namespace axk1
