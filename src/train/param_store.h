// The weights that are trained, in f32, and arenas of the same layout for their gradients.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/buffer.h"
#include "train/param_layout.h"

namespace axk1 {

struct Checkpoint;  // model/checkpoint.h

struct InitOptions {
  uint64_t seed = 0;
  // Of every matrix, as transformers initialises this family; norms are 1, router biases 0.
  double standard_deviation = 0.02;
};

// How the tensors of a checkpoint are called beyond what the config says.
struct CheckpointNames {
  bool fused_experts = true;
  bool router_bias = true;
  bool post_mlp_norm_in_mlp = false;  // "mlp.post_mlp_layernorm", as some writers save it
};

// Owns one arena of all parameters and the router biases. One thread at a time may write; while
// nobody does, any thread may read.
class ParamStore {
 public:
  // Random weights: the same for the same config and options on every machine.
  ParamStore(const ModelConfig& config, const InitOptions& options);

  // The weights of a Hugging Face directory or a k1pack file, widened to f32; with a layer of
  // multi-token prediction if the checkpoint has one, whatever its config says. Throws Error as
  // open_checkpoint does.
  explicit ParamStore(const std::string& checkpoint);

  const ParamLayout& layout() const { return layout_; }
  const ModelConfig& config() const { return layout_.config(); }
  // Of the checkpoint that this came from.
  const CheckpointNames& names() const { return names_; }

  std::span<const float> values() const { return {values_.as<float>(), layout_.num_elements()}; }
  std::span<const float> values(const Param& param) const {
    return values().subspan(param.offset, param.size);
  }
  // [MoE layers, n_routed_experts], that of multi-token prediction last; empty without any.
  std::span<const float> router_biases() const { return router_biases_; }
  std::span<const float> router_bias(size_t moe_idx) const {
    const size_t experts = static_cast<size_t>(config().n_routed_experts);
    return router_biases().subspan(moe_idx * experts, experts);
  }

  // For writing. Each call changes version(), by which models notice that their packed copies are
  // old; so call it again for every change, and do not keep the span.
  std::span<float> mutable_values() {
    ++version_;
    return {values_.as<float>(), layout_.num_elements()};
  }
  std::span<float> mutable_router_biases() { return router_biases_; }
  uint64_t version() const { return version_; }

 private:
  explicit ParamStore(const Checkpoint& checkpoint);

  ParamLayout layout_;
  CheckpointNames names_;
  Buffer values_;
  std::vector<float> router_biases_;
  uint64_t version_ = 1;
};

// An arena of the layout's elements, zero at first. One thread at a time.
class Gradients {
 public:
  explicit Gradients(const ParamLayout& layout)
      : size_(layout.num_elements()), values_(size_ * sizeof(float)) {}

  std::span<float> values() { return {values_.as<float>(), size_}; }
  std::span<const float> values() const { return {values_.as<float>(), size_}; }
  std::span<const float> values(const Param& param) const {
    return values().subspan(param.offset, param.size);
  }
  void zero();

 private:
  size_t size_;
  Buffer values_;
};

// Balancing without an auxiliary loss (Wang et al. 2024, arXiv 2408.15664; DeepSeek-V3 report,
// section 2.1.2): bias += rate * sign(mean load - load) for every expert of one MoE layer.
// tokens_per_expert [n_routed_experts] of the step.
void update_router_bias(std::span<float> bias, std::span<const uint64_t> tokens_per_expert,
                        double rate);

}  // namespace axk1
