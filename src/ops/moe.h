// Mixture of experts: routed experts and the shared expert of every token, grouped by expert so
// that each weight is read once. A dense MLP is the same with a shared expert alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/matmul.h"
#include "ops/op_context.h"
#include "tensor/buffer.h"
#include "tensor/tensor_view.h"

namespace axk1 {

// One gated MLP: down(silu(gate x) * (up x)).
struct ExpertWeights {
  MatrixView gate;  // [intermediate, hidden]
  MatrixView up;    // [intermediate, hidden]
  MatrixView down;  // [hidden, intermediate]
};

struct MoeShape {
  size_t hidden_size = 0;
  size_t num_experts = 0;              // routed; 0: none
  size_t top_k = 0;                    // routed experts of a token
  size_t moe_intermediate_size = 0;    // of one routed expert
  size_t max_shared_intermediate = 0;  // of the widest shared expert or dense MLP
};

// Owns the scratch memory of one block at a time, reserved at construction for max_tokens.
class Moe {
 public:
  // `activation_dtype`, of what multiplies plain weights: f32, or bf16 with weights that are bf16.
  // `quantized`: some weights will be.
  Moe(const MoeShape& shape, DType activation_dtype, bool quantized, size_t max_tokens);

  // What the block reads. Routed parts are empty in a dense layer.
  struct Input {
    ActivationView x;  // [tokens, hidden], plain of activation_dtype; the forms that weights take
    size_t num_tokens = 0;
    std::span<const int32_t> indices;        // [tokens, top_k], ascending in each token
    std::span<const float> weights;          // [tokens, top_k]
    std::span<const ExpertWeights> experts;  // [num_experts]
    const ExpertWeights* shared = nullptr;   // or null
  };

  // Computes every expert's output for its tokens; combine() adds them up.
  void run(const OpContext& ctx, const Input& input);

  // After run(): y [hidden] = the weighted routed outputs of one token in ascending expert id, plus
  // the shared one. Different tokens may be combined by different threads.
  void combine(const KernelTable& kernels, size_t token, float* y) const;

  size_t scratch_bytes() const;

 private:
  void group_by_expert(const Input& input);
  void gather(const OpContext& ctx);
  void gate(const OpContext& ctx, size_t rows, size_t inner, size_t shared_inner);

  MoeShape shape_;
  DType dtype_;
  size_t max_tokens_;
  Input input_;

  std::vector<uint32_t> expert_start_;  // [num_experts + 1] first row of each expert
  std::vector<uint32_t> row_of_;        // [tokens * top_k] row of a token's k-th expert
  std::vector<uint32_t> token_of_;      // [rows] the other way round
  std::vector<MatmulTask> tasks_;
  Buffer gathered_;     // [rows, hidden] activation dtype
  Buffer gathered_q_;   // the same, quantised
  Buffer gate_, up_;    // [rows, moe_intermediate] then [tokens, shared intermediate], f32
  Buffer hidden16_;     // silu(gate) * up in bf16, the same layout
  Buffer hidden_q_;     // the same, quantised
  Buffer down_;         // [rows, hidden] f32
  Buffer shared_down_;  // [tokens, hidden] f32
};

}  // namespace axk1
