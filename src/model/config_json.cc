#include "model/config_json.h"

namespace axk1 {
namespace {

const char* torch_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "float32";
    case DType::kF16:
      return "float16";
    default:
      return "bfloat16";
  }
}

json::object rope_json(const RopeParameters& rope) {
  json::object out{{"rope_type", rope.rope_type}, {"rope_theta", rope.rope_theta}};
  if (rope.rope_type != "yarn") return out;
  out["factor"] = rope.factor;
  out["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  out["beta_fast"] = rope.beta_fast;
  out["beta_slow"] = rope.beta_slow;
  out["mscale"] = rope.mscale;
  out["mscale_all_dim"] = rope.mscale_all_dim;
  out["truncate"] = rope.truncate;
  if (rope.attention_factor) out["attention_factor"] = *rope.attention_factor;
  return out;
}

}  // namespace

json::object model_config_json(const ModelConfig& c) {
  const auto or_null = [](auto value, bool there) {
    return there ? json::value(value) : json::value(nullptr);
  };
  json::array layers;
  for (bool is_moe : c.is_moe_layer) layers.emplace_back(is_moe ? "sparse" : "dense");
  json::object out{
      {"architectures",
       {c.model_type == "deepseek_v3" ? "DeepseekV3ForCausalLM" : "AXK1ForCausalLM"}},
      {"model_type", c.model_type},
      {"dtype", torch_name(c.dtype)},
      {"vocab_size", c.vocab_size},
      {"hidden_size", c.hidden_size},
      {"intermediate_size", c.intermediate_size},
      {"moe_intermediate_size", c.moe_intermediate_size},
      {"num_hidden_layers", c.num_hidden_layers},
      {"num_attention_heads", c.num_attention_heads},
      {"num_key_value_heads", c.num_key_value_heads},
      {"n_shared_experts", c.n_shared_experts},
      {"n_routed_experts", or_null(c.n_routed_experts, c.n_routed_experts > 0)},
      {"num_experts_per_tok", or_null(c.num_experts_per_tok, c.num_experts_per_tok > 0)},
      {"routed_scaling_factor", c.routed_scaling_factor},
      {"kv_lora_rank", c.kv_lora_rank},
      {"q_lora_rank", or_null(c.q_lora_rank, c.q_lora_rank > 0)},
      {"qk_nope_head_dim", c.qk_nope_head_dim},
      {"qk_rope_head_dim", c.qk_rope_head_dim},
      {"v_head_dim", c.v_head_dim},
      {"n_group", c.n_group},
      {"topk_group", c.topk_group},
      {"norm_topk_prob", c.norm_topk_prob},
      {"mlp_layer_types", std::move(layers)},
      {"hidden_act", "silu"},
      {"max_position_embeddings", c.max_position_embeddings},
      {"num_nextn_predict_layers", c.num_nextn_predict_layers},
      {"rms_norm_eps", c.rms_norm_eps},
      {"tie_word_embeddings", c.tie_word_embeddings},
      {"rope_interleave", c.rope_interleave},
      {"rope_parameters", rope_json(c.rope_parameters)},
  };
  if (!c.eos_token_ids.empty()) {
    out["eos_token_id"] = json::array(c.eos_token_ids.begin(), c.eos_token_ids.end());
  }
  if (c.bos_token_id) out["bos_token_id"] = *c.bos_token_id;
  if (c.pad_token_id) out["pad_token_id"] = *c.pad_token_id;
  return out;
}

}  // namespace axk1
