#include "train/flops.h"

#include "model/plan.h"

namespace axk1 {

double training_flops(const ModelConfig& config, const TrainBatch& batch) {
  const ParameterCounts counts = count_parameters(config);
  double weights = static_cast<double>(counts.active() - counts.embedding);
  double layers = static_cast<double>(config.num_hidden_layers);
  if (config.num_nextn_predict_layers > 0) {
    ModelConfig mtp = config;
    mtp.num_hidden_layers = 1;
    mtp.is_moe_layer = {config.mtp_layer_is_moe()};
    const ParameterCounts more = count_parameters(mtp);
    const double hidden = static_cast<double>(config.hidden_size);
    weights += static_cast<double>(more.active() - more.embedding) + 2 * hidden * hidden;
    layers += 1;
  }
  double attended = 0;
  for (int32_t position : batch.positions) attended += position + 1;
  const double per_pair = layers * static_cast<double>(config.num_attention_heads) *
                          static_cast<double>(config.qk_head_dim() + config.v_head_dim);
  return 3 * 2 * (weights * static_cast<double>(batch.positions.size()) + per_pair * attended);
}

}  // namespace axk1
