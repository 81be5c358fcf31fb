#include "train/param_layout.h"

#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

size_t z(int64_t size) {
  return static_cast<size_t>(size);
}

}  // namespace

ParamLayout::ParamLayout(const ModelConfig& config) : config_(config) {
  if (config.num_nextn_predict_layers > 1) {
    fail(ErrorCode::kUnsupported, "training: num_nextn_predict_layers is ",
         config.num_nextn_predict_layers, ", expected 0 or 1");
  }
  const size_t vocab = z(config.vocab_size), hidden = z(config.hidden_size);
  embedding = matrix(add("model.embed_tokens.weight", ParamKind::kEmbedding, {vocab, hidden}, -1),
                     vocab, hidden);
  const size_t num_layers = z(config.num_hidden_layers);
  layers.reserve(num_layers + 1);
  router_bias_names.resize(num_layers + z(config.num_nextn_predict_layers));
  for (size_t i = 0; i < num_layers; ++i) add_layer(i, config.is_moe_layer[i]);
  if (config.num_nextn_predict_layers > 0) add_mtp();
  final_norm = add_norm("model.norm.weight", hidden, -1);
  if (config.tie_word_embeddings) {
    head = matrix(embedding.offset, vocab, hidden);
  } else {
    head = matrix(add("lm_head.weight", ParamKind::kHead, {vocab, hidden}, -1), vocab, hidden);
  }
}

// Appends a parameter to the arena; returns its offset.
size_t ParamLayout::add(std::string name, ParamKind kind, std::vector<uint64_t> shape,
                        int64_t layer) {
  size_t size = 1;
  for (uint64_t extent : shape) size *= extent;
  const size_t offset = num_elements_;
  by_name_.emplace(name, params_.size());
  params_.push_back({std::move(name), kind, std::move(shape), offset, size, layer});
  num_elements_ += size;
  return offset;
}

MatrixParam ParamLayout::matrix(size_t offset, size_t rows, size_t cols) {
  return {offset, rows, cols, num_matrices_++};
}

NormParam ParamLayout::add_norm(std::string name, size_t size, int64_t layer) {
  return {add(std::move(name), ParamKind::kNorm, {size}, layer), size};
}

void ParamLayout::add_mtp() {
  const size_t hidden = z(config_.hidden_size);
  const int64_t layer = config_.num_hidden_layers;
  const std::string prefix = cat("model.layers.", layer, ".");
  MtpParams p;
  p.enorm = add_norm(prefix + "enorm.weight", hidden, layer);
  p.hnorm = add_norm(prefix + "hnorm.weight", hidden, layer);
  p.eh_proj =
      matrix(add(prefix + "eh_proj.weight", ParamKind::kMatrix, {hidden, 2 * hidden}, layer),
             hidden, 2 * hidden);
  add_layer(z(layer), config_.mtp_layer_is_moe());
  p.norm = add_norm(prefix + "shared_head.norm.weight", hidden, layer);
  mtp = p;
}

MlpParams ParamLayout::add_mlp(const std::string& prefix, size_t intermediate, int64_t layer) {
  const size_t hidden = z(config_.hidden_size);
  const auto part = [&](const char* name, size_t rows, size_t cols) {
    return add(cat(prefix, name, ".weight"), ParamKind::kMatrix, {rows, cols}, layer);
  };
  MlpParams p;
  const size_t gate = part("gate_proj", intermediate, hidden);
  part("up_proj", intermediate, hidden);
  p.gate_up = matrix(gate, 2 * intermediate, hidden);
  p.down = matrix(part("down_proj", hidden, intermediate), hidden, intermediate);
  return p;
}

void ParamLayout::add_layer(size_t layer, bool is_moe) {
  const ModelConfig& c = config_;
  const size_t hidden = z(c.hidden_size), heads = z(c.num_attention_heads);
  const size_t queries = heads * z(c.qk_head_dim());
  const size_t latent = z(c.kv_lora_rank), q_rank = z(c.q_lora_rank);
  const std::string prefix = cat("model.layers.", layer, ".");
  const auto idx = static_cast<int64_t>(layer);
  const auto norm = [&](const char* name, size_t size) {
    return add_norm(prefix + name, size, idx);
  };
  const auto add_matrix = [&](const char* name, size_t rows, size_t cols) {
    return add(prefix + name, ParamKind::kMatrix, {rows, cols}, idx);
  };

  LayerParams p;
  p.input_norm = norm("input_layernorm.weight", hidden);
  p.q_width = q_rank ? q_rank : queries;
  const char* q_name = q_rank ? "self_attn.q_a_proj.weight" : "self_attn.q_proj.weight";
  const size_t in_proj = add_matrix(q_name, p.q_width, hidden);
  const size_t kv_rows = latent + z(c.qk_rope_head_dim);
  add_matrix("self_attn.kv_a_proj_with_mqa.weight", kv_rows, hidden);
  p.in_proj = matrix(in_proj, p.q_width + kv_rows, hidden);
  if (q_rank) {
    p.q_a_norm = norm("self_attn.q_a_layernorm.weight", q_rank);
    p.q_b = matrix(add_matrix("self_attn.q_b_proj.weight", queries, q_rank), queries, q_rank);
  }
  p.kv_a_norm = norm("self_attn.kv_a_layernorm.weight", latent);
  const size_t kv_b_rows = heads * z(c.qk_nope_head_dim + c.v_head_dim);
  p.kv_b = matrix(add_matrix("self_attn.kv_b_proj.weight", kv_b_rows, latent), kv_b_rows, latent);
  const size_t values = heads * z(c.v_head_dim);
  p.o = matrix(add_matrix("self_attn.o_proj.weight", hidden, values), hidden, values);
  p.post_attention_norm = norm("post_attention_layernorm.weight", hidden);
  p.is_moe = is_moe;
  if (p.is_moe) {
    add_moe(layer, p);
  } else {
    p.mlp = add_mlp(prefix + "mlp.", z(c.intermediate_size), idx);
  }
  layers.push_back(std::move(p));
}

void ParamLayout::add_moe(size_t layer, LayerParams& p) {
  const ModelConfig& c = config_;
  const size_t hidden = z(c.hidden_size), experts = z(c.n_routed_experts);
  const size_t intermediate = z(c.moe_intermediate_size);
  const std::string prefix = cat("model.layers.", layer, ".");
  const auto idx = static_cast<int64_t>(layer);
  p.moe_idx = num_moe_layers_++;
  router_bias_names[layer] = prefix + "mlp.gate.e_score_correction_bias";
  p.router = matrix(add(prefix + "mlp.gate.weight", ParamKind::kRouter, {experts, hidden}, idx),
                    experts, hidden);
  const size_t gate_up = add(prefix + "mlp.experts.gate_up_proj", ParamKind::kExperts,
                             {experts, 2 * intermediate, hidden}, idx);
  const size_t down = add(prefix + "mlp.experts.down_proj", ParamKind::kExperts,
                          {experts, hidden, intermediate}, idx);
  for (size_t e = 0; e < experts; ++e) {
    p.experts.push_back({matrix(gate_up + 2 * e * intermediate * hidden, 2 * intermediate, hidden),
                         matrix(down + e * hidden * intermediate, hidden, intermediate)});
  }
  if (c.n_shared_experts > 0) {
    p.shared = add_mlp(prefix + "mlp.shared_experts.", z(c.n_shared_experts) * intermediate, idx);
  }
  if (c.has_post_mlp_norm) {
    p.post_mlp_norm = add_norm(prefix + "post_mlp_layernorm.weight", hidden, idx);
  }
}

const Param* ParamLayout::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &params_[found->second];
}

std::vector<NamedSlice> ParamLayout::slices(bool fused_experts) const {
  std::vector<NamedSlice> out;
  for (const Param& p : params_) {
    if (p.kind != ParamKind::kExperts || fused_experts) {
      out.push_back({p.name, p.shape, p.offset, p.size});
      continue;
    }
    // ".../experts.gate_up_proj" or ".../experts.down_proj"
    const std::string prefix = p.name.substr(0, p.name.rfind('.') + 1);
    const uint64_t rows = p.shape[1], cols = p.shape[2];
    for (uint64_t e = 0; e < p.shape[0]; ++e) {
      const size_t offset = p.offset + e * rows * cols;
      const std::string name = cat(prefix, e, ".");
      if (p.name.ends_with("down_proj")) {
        out.push_back({name + "down_proj.weight", {rows, cols}, offset, rows * cols});
        continue;
      }
      const size_t half = rows / 2 * cols;
      out.push_back({name + "gate_proj.weight", {rows / 2, cols}, offset, half});
      out.push_back({name + "up_proj.weight", {rows / 2, cols}, offset + half, half});
    }
  }
  return out;
}

}  // namespace axk1
