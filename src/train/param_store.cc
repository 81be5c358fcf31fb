#include "train/param_store.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "base/rng.h"
#include "model/checkpoint.h"
#include "model/widen.h"

namespace axk1 {
namespace {

size_t num_biases(const ParamLayout& layout) {
  return layout.num_moe_layers() * static_cast<size_t>(layout.config().n_routed_experts);
}

// With what the checkpoint has.
ModelConfig config_of(const Checkpoint& checkpoint) {
  ModelConfig config = checkpoint.config;
  config.num_nextn_predict_layers = checkpoint.summary.num_mtp_tensors > 0 ? 1 : 0;
  return config;
}

}  // namespace

ParamStore::ParamStore(const ModelConfig& config, const InitOptions& options)
    : layout_(config),
      values_(layout_.num_elements() * sizeof(float)),
      router_biases_(num_biases(layout_)) {
  Rng rng(options.seed);
  float* values = values_.as<float>();
  for (const Param& p : layout_.params()) {
    for (size_t i = p.offset; i < p.offset + p.size; ++i) {
      values[i] = p.kind == ParamKind::kNorm
                      ? 1.0f
                      : static_cast<float>(options.standard_deviation * rng.normal());
    }
  }
}

ParamStore::ParamStore(const std::string& checkpoint) : ParamStore(open_checkpoint(checkpoint)) {}

ParamStore::ParamStore(const Checkpoint& checkpoint)
    : layout_(config_of(checkpoint)),
      values_(layout_.num_elements() * sizeof(float)),
      router_biases_(num_biases(layout_)) {
  names_ = {.fused_experts = checkpoint.summary.fused_experts,
            .router_bias = checkpoint.summary.has_router_bias};
  std::unordered_map<std::string, NamedSlice> wanted;
  for (NamedSlice& slice : layout_.slices(false)) wanted.emplace(slice.name, slice);
  const auto experts = static_cast<size_t>(config().n_routed_experts);
  float* values = values_.as<float>();
  size_t num_read = 0;
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    const auto widen_to = [&](float* to) {
      const size_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
      widen_rows(tensor.dtype, tensor.bytes.data(), rows, tensor.shape.back(), to);
    };
    const size_t layer = tensor.layer < 0 ? 0 : static_cast<size_t>(tensor.layer);
    if (tensor.layer >= 0 && tensor.name == layout_.router_bias_names[layer]) {
      widen_to(router_biases_.data() + layout_.layers[layer].moe_idx * experts);
      continue;
    }
    std::string name = tensor.name;
    if (const size_t at = name.find("mlp.post_mlp_layernorm"); at != std::string::npos) {
      name.erase(at, 4);
      names_.post_mlp_norm_in_mlp = true;
    }
    const auto slice = wanted.find(name);
    if (slice == wanted.end()) continue;  // a dense layer's post-MLP norm, a tied head stored twice
    widen_to(values + slice->second.offset);
    ++num_read;
  }
  AXK1_CHECK(num_read == wanted.size());  // open_checkpoint has found every tensor of the config
}

void Gradients::zero() {
  std::memset(values_.data(), 0, values_.size_bytes());
}

void update_router_bias(std::span<float> bias, std::span<const uint64_t> tokens_per_expert,
                        double rate) {
  AXK1_CHECK(bias.size() == tokens_per_expert.size());
  uint64_t total = 0;
  for (uint64_t tokens : tokens_per_expert) total += tokens;
  const double mean = static_cast<double>(total) / static_cast<double>(bias.size());
  for (size_t e = 0; e < bias.size(); ++e) {
    const auto load = static_cast<double>(tokens_per_expert[e]);
    if (load < mean) bias[e] += static_cast<float>(rate);
    if (load > mean) bias[e] -= static_cast<float>(rate);
  }
}

}  // namespace axk1
