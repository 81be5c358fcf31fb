// Choosing the routed experts of a token (DeepSeek-V3 report, section 2.1.2; transformers,
// modeling_deepseek_v3.py, DeepseekV3TopkRouter): sigmoid scores, selection by score plus bias,
// limited to the best groups of experts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace axk1 {

enum class GroupScore {
  kTop2Sum,  // transformers: the two largest biased scores of a group, added
  kMax,      // vLLM when the checkpoint has no bias: the largest one
};

struct RouterShape {
  size_t num_experts = 0;
  size_t top_k = 0;
  size_t num_groups = 1;  // divides num_experts
  size_t top_groups = 1;
  GroupScore group_score = GroupScore::kTop2Sum;
  bool norm_topk_prob = true;
  float scaling_factor = 1;  // routed_scaling_factor
};

inline constexpr size_t kMaxExperts = 4096;

// For one token: logits [num_experts], bias [num_experts]. Writes experts [top_k] in ascending
// order and weights [top_k]: sigmoid(logit), without the bias, normalised to sum 1 when
// norm_topk_prob, times scaling_factor. Equal scores go to the lower expert.
void route(const RouterShape& shape, const float* logits, const float* bias, int32_t* experts,
           float* weights);

}  // namespace axk1
