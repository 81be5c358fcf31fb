// Where every parameter of a model stands in one flat arena: the same for the weights, their
// gradients and the state of the optimiser.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/config.h"

namespace axk1 {

enum class ParamKind { kEmbedding, kHead, kNorm, kRouter, kMatrix, kExperts };

// A parameter by its Hugging Face name; routed experts are fused, as transformers saves them.
struct Param {
  std::string name;
  ParamKind kind = ParamKind::kMatrix;
  std::vector<uint64_t> shape;  // [size], [rows, cols] or [experts, rows, cols]
  size_t offset = 0;            // elements from the start of the arena
  size_t size = 0;              // elements
  int64_t layer = -1;           // -1: none

  bool decays() const { return shape.size() >= 2; }  // weight decay
};

// A piece of the arena that has a name in a checkpoint.
struct NamedSlice {
  std::string name;
  std::vector<uint64_t> shape;
  size_t offset = 0, size = 0;
};

// What the graph multiplies by: row-major [rows, cols] from `offset`. `idx` counts them all.
struct MatrixParam {
  size_t offset = 0, rows = 0, cols = 0, idx = 0;
};
struct NormParam {
  size_t offset = 0, size = 0;  // size 0: not there
};
// One gated MLP. The rows of gate, then those of up, are one matrix: on disk they are two for dense
// MLPs and shared experts, but stand one after the other in the arena.
struct MlpParams {
  MatrixParam gate_up;  // [2 * intermediate, hidden]
  MatrixParam down;     // [hidden, intermediate]
  size_t intermediate() const { return down.cols; }
};

struct LayerParams {
  bool is_moe = false;
  size_t moe_idx = 0;  // of MoE layers
  NormParam input_norm, post_attention_norm, post_mlp_norm, q_a_norm, kv_a_norm;
  // q_a_proj (q_proj without q_lora_rank) and kv_a_proj_with_mqa, likewise one matrix.
  MatrixParam in_proj;  // [q_width + kv_lora_rank + qk_rope_head_dim, hidden]
  size_t q_width = 0;   // rows of the first of them
  MatrixParam q_b;      // [heads * qk_head_dim, q_lora_rank]; rows 0 without q_lora_rank
  MatrixParam kv_b;     // [heads * (nope + v), kv_lora_rank]
  MatrixParam o;        // [hidden, heads * v_head_dim]
  MlpParams mlp;        // of a dense layer
  MatrixParam router;   // [experts, hidden]
  std::vector<MlpParams> experts;
  MlpParams shared;  // rows 0: none
};

// Of the layer of multi-token prediction besides what every layer has (model/weights.h,
// MtpWeights).
struct MtpParams {
  NormParam enorm, hnorm, norm;
  MatrixParam eh_proj;  // [hidden, 2 * hidden]; the columns of the embedding first
};

// Constant after construction: any thread may read.
class ParamLayout {
 public:
  // Throws Error(kUnsupported) for a config with more than one layer of multi-token prediction.
  explicit ParamLayout(const ModelConfig& config);

  const ModelConfig& config() const { return config_; }
  size_t num_elements() const { return num_elements_; }
  size_t num_matrices() const { return num_matrices_; }
  size_t num_moe_layers() const { return num_moe_layers_; }  // that of `mtp` included
  const std::vector<Param>& params() const { return params_; }
  const Param* find(std::string_view name) const;  // nullptr when there is none

  // The tensors of a checkpoint: experts fused, or one tensor per expert.
  std::vector<NamedSlice> slices(bool fused_experts) const;

  MatrixParam embedding, head;  // the same elements when tie_word_embeddings
  NormParam final_norm;
  std::vector<LayerParams> layers;  // the model's, then that of multi-token prediction
  std::optional<MtpParams> mtp;
  // [layers] name on disk of the correction bias of the router; empty for a dense layer. The bias
  // is no parameter: it decides the choice of experts only and has no gradient.
  std::vector<std::string> router_bias_names;

 private:
  size_t add(std::string name, ParamKind kind, std::vector<uint64_t> shape, int64_t layer);
  MatrixParam matrix(size_t offset, size_t rows, size_t cols);
  NormParam add_norm(std::string name, size_t size, int64_t layer);
  void add_layer(size_t layer, bool is_moe);
  void add_mtp();
  void add_moe(size_t layer, LayerParams& p);
  MlpParams add_mlp(const std::string& prefix, size_t intermediate, int64_t layer);

  ModelConfig config_;
  size_t num_elements_ = 0, num_matrices_ = 0, num_moe_layers_ = 0;
  std::vector<Param> params_;
  std::unordered_map<std::string, size_t> by_name_;
};

}  // namespace axk1
