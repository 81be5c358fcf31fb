// Sizes of a model, from its config alone: parameters, bytes, cache, memory.
#pragma once

#include <cstdint>
#include <string>

#include "model/config.h"
#include "ops/latent_cache.h"

namespace axk1 {

// Exact, by part, summed over layers. The correction bias of the router is state, not a parameter,
// and is not counted, nor are MTP layers. A model with a post-MLP norm has one on every layer of
// its checkpoint, dense layers included, where it is not applied; `norms` counts them all, as the
// published totals do.
template <class Number>
struct BasicParameterCounts {
  Number embedding = 0;  // 0 when lm_head is the same matrix
  Number attention = 0;  // projections, q_a and kv_a norms
  Number norms = 0;      // layer norms and the final norm
  Number dense_mlp = 0;
  Number router = 0;
  Number shared_experts = 0;
  Number routed_experts = 0;
  Number lm_head = 0;

  Number unapplied_norms = 0;        // part of `norms`
  Number active_routed_experts = 0;  // the top_k of each MoE layer; part of `routed_experts`

  Number total() const {
    return embedding + attention + norms + dense_mlp + router + shared_experts + routed_experts +
           lm_head;
  }
  // What one token computes with, the embedding table counted whole.
  Number active() const {
    return total() - unapplied_norms - routed_experts + active_routed_experts;
  }
  // What has to be read from memory to decode one token: of the embedding only one row.
  Number read_per_token() const { return active() - embedding; }
};
using ParameterCounts = BasicParameterCounts<uint64_t>;

ParameterCounts count_parameters(const ModelConfig& config);

// Of one MTP layer (model/weights.h, MtpWeights), without embedding and head, which are the
// model's.
uint64_t count_mtp_parameters(const ModelConfig& config);

// total() in floating point, for configs whose sizes are not known to be sane.
double approximate_parameters(const ModelConfig& config);

// MLA keeps the normed latent and the rotated key of each layer.
uint64_t kv_bytes_per_token(const ModelConfig& config, CacheDType cache_dtype);

// Memory that running needs, in bytes.
struct MemoryPlan {
  uint64_t weights = 0;   // matrices at the compute type or as stored
  uint64_t kv_cache = 0;  // of one sequence of context_tokens
  uint64_t scratch = 0;   // estimate: f32 activations of one chunk of tokens
  uint64_t total() const { return weights + kv_cache + scratch; }
};

struct PlanOptions {
  uint64_t context_tokens = 0;
  uint64_t chunk_tokens = 512;  // computed at once
  uint64_t weight_bytes = 0;
  CacheDType cache_dtype = CacheDType::kBF16;
};

MemoryPlan plan_memory(const ModelConfig& config, const PlanOptions& options);

// Memory that this process may use: the machine's, or the limit of its control group if lower.
// 0 when it cannot be found out.
uint64_t machine_memory_bytes();

// The lowest limit of the control groups (version 1 or 2) that a process is in, as its file in
// /proc says, and of those around them; 0: none. The arguments are for tests.
uint64_t control_group_memory_bytes(const std::string& groups = "/sys/fs/cgroup",
                                    const std::string& process = "/proc/self/cgroup");

// Memory that this process has had at most, mapped files that were in memory counted. 0 when it
// cannot be found out.
uint64_t peak_memory_bytes();

}  // namespace axk1
