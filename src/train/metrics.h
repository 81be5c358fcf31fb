// What a run notes of each step: one JSON object a line (docs/training.md, "Metrics").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace axk1 {

// Of a step of reinforcement learning (docs/training.md).
struct RlMetrics {
  double reward = 0;          // mean over the answers
  double accuracy = 0;        // share that is right, in whatever mode
  double mode_obedience = 0;  // share that thinks when asked to, and only then
  double ratio = 0;           // mean importance ratio of the answers that were trained on
  double clip_fraction = 0;   // of them, at the bound that takes away their gradient
  double entropy = 0;         // nats per token, estimated from the tokens drawn
  double answer_tokens = 0;   // mean length
  double cut = 0;             // share that reached max_tokens
  double equal_groups = 0;    // share of groups whose answers all had the same reward
  std::optional<double> held_out_reward;
};

struct StepMetrics {
  uint64_t step = 0;  // from 1: how many steps are done
  std::string stage;
  double loss = 0;                     // nats per target, of the text
  std::optional<double> teacher_loss;  // per target, with a teacher
  std::optional<double> mtp_loss;      // per target of multi-token prediction, unweighted
  double learning_rate = 0;
  double grad_norm = 0;  // before clipping
  uint64_t tokens = 0;   // read since the run began
  double tokens_per_second = 0;
  double flops_per_second = 0;
  double share_of_peak = 0;  // of the machine's own multiply-adds of that type; 0: not known
  double max_vio = 0;  // mean over MoE layers of (largest load / mean load - 1) (arXiv 2408.15664)
  uint64_t dead_experts = 0;  // that no token of the step was routed to, over all layers
  double router_entropy = 0;  // nats, mean over tokens and layers
  bool skipped = false;       // the step changed nothing
  uint64_t skipped_steps = 0;
  std::optional<double> held_out_loss, bits_per_byte, held_out_mtp_loss;
  std::optional<RlMetrics> rl;

  json::object to_json() const;
  // Throws Error naming `source`.
  static StepMetrics from_json(const json::value& v, const std::string& source);
};

// Appends to a file, line by line, each with one write. One thread at a time, one log per file.
class MetricsLog {
 public:
  // Keeps what the file has of steps up to `last_step`: later lines are of a run that went on from
  // an older checkpoint or was killed, and the line that a kill cut off goes too. Throws Error(kIo)
  // and, for a whole line that is none of ours, Error(kInvalidInput).
  MetricsLog(const std::string& path, uint64_t last_step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  void append(const StepMetrics& metrics);
  void flush_to_disk();
  const std::vector<StepMetrics>& history() const { return history_; }

 private:
  std::string path_;
  int fd_ = -1;
  std::vector<StepMetrics> history_;
};

}  // namespace axk1
