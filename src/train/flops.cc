#include "train/flops.h"

#include "model/plan.h"

namespace axk1 {

double training_flops(const ModelConfig& config, const TrainBatch& batch) {
  const ParameterCounts counts = count_parameters(config);
  const double weights = static_cast<double>(counts.active() - counts.embedding);
  double attended = 0;
  for (int32_t position : batch.positions) attended += position + 1;
  const double per_pair = static_cast<double>(config.num_hidden_layers) *
                          static_cast<double>(config.num_attention_heads) *
                          static_cast<double>(config.qk_head_dim() + config.v_head_dim);
  return 3 * 2 * (weights * static_cast<double>(batch.positions.size()) + per_pair * attended);
}

}  // namespace axk1
