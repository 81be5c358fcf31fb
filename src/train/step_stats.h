// What a step measured besides gradients.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace axk1 {

struct MoeLayerStats {
  std::vector<uint64_t> tokens_per_expert;  // [n_routed_experts] choices that fell on each
  // Over tokens, the entropy in nats of the sigmoid scores (without bias) scaled to sum 1: at most
  // log(n_routed_experts).
  double router_entropy_sum = 0;
};

// Of one or more micro-batches.
struct StepStats {
  double loss_sum = 0;                    // cross-entropies of the text, in nats
  double teacher_loss_sum = 0;            // of what a teacher's loss is, unweighted
  uint64_t targets = 0;                   // that count
  double mtp_loss_sum = 0;                // cross-entropies of multi-token prediction, unweighted
  uint64_t mtp_targets = 0;               // that count there
  uint64_t tokens = 0;                    // computed
  std::vector<MoeLayerStats> moe_layers;  // [MoE layers] that were computed

  double mean_loss() const { return targets ? loss_sum / static_cast<double>(targets) : 0; }
  double mean_mtp_loss() const {
    return mtp_targets ? mtp_loss_sum / static_cast<double>(mtp_targets) : 0;
  }

  void add(const StepStats& other) {
    loss_sum += other.loss_sum;
    teacher_loss_sum += other.teacher_loss_sum;
    targets += other.targets;
    mtp_loss_sum += other.mtp_loss_sum;
    mtp_targets += other.mtp_targets;
    tokens += other.tokens;
    if (moe_layers.empty()) moe_layers.resize(other.moe_layers.size());
    for (size_t i = 0; i < other.moe_layers.size(); ++i) {
      std::vector<uint64_t>& mine = moe_layers[i].tokens_per_expert;
      const std::vector<uint64_t>& theirs = other.moe_layers[i].tokens_per_expert;
      mine.resize(theirs.size());
      for (size_t e = 0; e < theirs.size(); ++e) mine[e] += theirs[e];
      moe_layers[i].router_entropy_sum += other.moe_layers[i].router_entropy_sum;
    }
  }
};

}  // namespace axk1
