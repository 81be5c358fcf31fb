// A config of a few thousand parameters with every part of the graph.
#pragma once

#include <string>

#include "io/json.h"
#include "model/config.h"

namespace axk1::testing {

// One dense layer and two MoE layers, YaRN, router groups, a query latent, a shared expert,
// post-MLP norms. `changes` replaces fields: {"q_lora_rank": null}.
inline ModelConfig tiny_config(const std::string& changes = "{}") {
  json::value config = json::parse(R"({"model_type": "axk1", "vocab_size": 37, "hidden_size": 20,
      "intermediate_size": 24, "moe_intermediate_size": 10, "num_hidden_layers": 3,
      "num_attention_heads": 2, "num_key_value_heads": 2, "n_shared_experts": 1,
      "n_routed_experts": 6, "num_experts_per_tok": 2, "routed_scaling_factor": 1.5,
      "kv_lora_rank": 9, "q_lora_rank": 7, "qk_nope_head_dim": 5, "qk_rope_head_dim": 4,
      "v_head_dim": 3, "n_group": 2, "topk_group": 1, "norm_topk_prob": true,
      "first_k_dense_replace": 1, "moe_layer_freq": 1, "hidden_act": "silu",
      "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "tie_word_embeddings": false,
      "rope_parameters": {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0,
                          "original_max_position_embeddings": 16, "beta_fast": 8,
                          "beta_slow": 1}})",
                                   "tiny config");
  const json::value changed = json::parse(changes, "changes");
  for (const auto& [key, value] : changed.as_object()) {
    config.as_object()[key] = value;
  }
  return parse_model_config(config, "tiny config");
}

}  // namespace axk1::testing
