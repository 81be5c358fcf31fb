// The weights of a model as the forward pass reads them: views into mapped safetensors or k1pack
// files, or into buffers where a conversion was asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/k1pack.h"
#include "formats/safetensors.h"
#include "model/config.h"
#include "ops/moe.h"
#include "tensor/buffer.h"
#include "tensor/tensor_view.h"

namespace axk1 {

// Norm weights are widened to f32. Matrices may be quantised (tensor/packed.h) but for kv_b_proj
// and the router. Absent parts are empty views and empty vectors.
struct LayerWeights {
  bool is_moe = false;

  std::vector<float> input_layernorm;           // [hidden]
  std::vector<float> post_attention_layernorm;  // [hidden]
  std::vector<float> post_mlp_layernorm;        // [hidden]; empty where it is not applied
  std::vector<float> q_a_layernorm;             // [q_lora_rank]; empty without it
  std::vector<float> kv_a_layernorm;            // [kv_lora_rank]

  MatrixView q_proj;              // [heads * qk_head_dim, hidden], only when q_lora_rank is 0
  MatrixView q_a_proj;            // [q_lora_rank, hidden]
  MatrixView q_b_proj;            // [heads * qk_head_dim, q_lora_rank]; per head nope, then rope
  MatrixView kv_a_proj_with_mqa;  // [kv_lora_rank + qk_rope_head_dim, hidden]
  MatrixView kv_b_proj;  // [heads * (qk_nope_head_dim + v_head_dim), kv_lora_rank]; per head k, v
  MatrixView o_proj;     // [hidden, heads * v_head_dim]

  ExpertWeights mlp;  // dense layers

  MatrixView router;                           // [n_routed_experts, hidden], type as stored
  std::vector<float> e_score_correction_bias;  // [n_routed_experts]; zeros when absent
  std::vector<ExpertWeights> experts;          // [n_routed_experts]
  ExpertWeights shared_experts;  // n_shared_experts * moe_intermediate_size wide; empty when none
};

// The multi-token-prediction layer of DeepSeek-V3 (arXiv 2412.19437, section 2.2), which guesses
// one token further than the model: Forward::run_mtp has the formula. On disk it is the layer after
// the last, "model.layers.{num_hidden_layers}.": enorm, hnorm, eh_proj, shared_head.norm, and the
// tensors of a layer. Embedding and head are those of the model; copies that checkpoints carry
// (embed_tokens, shared_head.head) are read past.
struct MtpWeights {
  std::vector<float> enorm;  // [hidden] of the next token's embedding
  std::vector<float> hnorm;  // [hidden] of the hidden state
  MatrixView eh_proj;        // [hidden, 2 * hidden]; the columns of the embedding first
  LayerWeights layer;
  std::vector<float> norm;  // [hidden] shared_head.norm
};

// What a checkpoint turned out to hold.
struct CheckpointSummary {
  uint64_t num_files = 0;
  uint64_t num_records = 0;      // of a k1pack file
  uint64_t num_tensors = 0;      // all of them, also those counted apart below
  uint64_t parameters = 0;       // elements of the weights that the architecture has (model/plan.h)
  uint64_t weight_bytes = 0;     // bytes of those weights in the files
  uint64_t num_mtp_tensors = 0;  // of MtpWeights; 0: the checkpoint has none
  uint64_t mtp_parameters = 0;   // elements of these
  uint64_t mtp_bytes = 0;        // of these in the files
  // Rotary buffers, MTP layers after the first, copies of embedding and head in them: read past.
  uint64_t num_unused_tensors = 0;
  bool has_router_bias = false;
  bool fused_experts = false;
};

// Owns what its views point into; movable, the views stay valid. Any thread may read.
struct ModelWeights {
  DType compute_dtype = DType::kF32;  // see LoadOptions::dtype
  MatrixView embed_tokens;            // [vocab, hidden]
  MatrixView lm_head;                 // [vocab, hidden]; the same bytes as embed_tokens when tied
  std::vector<float> norm;            // [hidden]
  std::vector<LayerWeights> layers;   // [num_hidden_layers]
  std::optional<MtpWeights> mtp;      // where the checkpoint has it, whatever the config says
  CheckpointSummary summary;

  // Some matrix is of a quantised type. kv_b_proj and router never are: the absorbed form of
  // attention reads the one by columns, and the other decides.
  bool any_quantized() const;

  std::vector<SafetensorsFile> files;  // owners of mapped weights
  std::vector<K1PackFile> packs;       // likewise; at most one
  std::vector<Buffer> buffers;         // owners of converted and synthetic weights
};

struct LoadOptions {
  // The compute type. kF32 keeps the stored bytes as they are (kernels widen bf16 and f16 exactly);
  // kBF16 makes bf16 copies of f32 and f16 matrices (bf16 and quantised ones stay mapped, the
  // router keeps its stored type). kF16 is refused. Default: kF32 for a checkpoint whose embedding
  // is f32 or f16, kBF16 for any other.
  std::optional<DType> dtype;
  K1PackLoad load = K1PackLoad::kMap;  // kRead: for k1pack files only
  ByteProgress progress = {};          // of kRead
};

// Opens a k1pack file, or every safetensors file of a directory (model.safetensors, or the shards
// of model.safetensors.index.json), and checks all names, types and shapes against the config
// before anything is computed. Throws Error naming the file and the tensor; when several tensors
// are wrong, the first few and the count.
ModelWeights load_weights(const std::string& path, const ModelConfig& config,
                          const LoadOptions& options = {});

// The routed experts of a layer must agree on which of gate, up and down are quantised: a step
// prepares one form of the activations for all of them. Throws Error naming `path`, the layer and
// the expert; load_weights calls it.
void check_experts_alike(const ModelWeights& weights, const std::string& path);

// Weights of any shape without files, for measuring: values of the size of a trained model's,
// repeated from a pool, every matrix with memory of its own. `dtype` (f32, bf16, f16 or a quantised
// type) is the type of the matrices; with a quantised one kv_b_proj and router are bf16.
// compute_dtype follows it as above. With an MTP layer where the config has any.
ModelWeights random_weights(const ModelConfig& config, DType dtype, uint64_t seed);

}  // namespace axk1
