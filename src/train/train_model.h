// The loss of a model and its gradients.
#pragma once

#include <memory>
#include <vector>

#include "kernels/kernel_table.h"
#include "parallel/thread_pool.h"
#include "train/batch.h"
#include "train/param_store.h"
#include "train/step_stats.h"
#include "train/teacher.h"

namespace axk1 {

// As DeepSeek-V3 was trained for the first 10 of 14.8 trillion tokens (arXiv 2412.19437,
// section 4.2).
inline constexpr double kMtpWeight = 0.3;

struct TrainModelOptions {
  // kF32: everything in f32. kBF16: products, those of attention too, multiply weights, activations
  // and gradients rounded to bf16 and sum in f32; the rest, the router included, stays f32. Weights
  // and gradients are f32 in memory either way. kBF16 is fast where the machine has AMX or
  // AVX512-BF16; elsewhere it is plain C++, slower than kF32.
  DType compute = DType::kF32;
  // Of the loss of multi-token prediction, where the model has that layer; 0: it is not computed.
  double mtp_weight = kMtpWeight;
};

// Keeps references. Owns the activations, which grow to the largest micro-batch and stay. One
// thread at a time, which owns the pool while a call runs. Results do not depend, to the last bit,
// on the number of threads.
class TrainModel {
 public:
  TrainModel(const ParamStore& params, const KernelTable& kernels, ThreadPool& pool,
             const TrainModelOptions& options = {});
  ~TrainModel();

  // Adds to `gradients` those of (sum of the batch's cross-entropies, and mtp_weight times those of
  // multi-token prediction) / targets_in_step, where targets_in_step counts the targets of all
  // micro-batches of the step; those of multi-token prediction are fewer, and divided by the same
  // number (arXiv 2412.19437, equation 24). Throws
  // Error(kInvalidInput) for a batch whose sizes disagree or that has an id, target or position out
  // of range.
  // With weights in the batch, of the weighted sum. With `teaching`, whose teacher has read the
  // batch, those of its loss instead.
  StepStats forward_backward(const TrainBatch& batch, uint64_t targets_in_step,
                             Gradients& gradients, const Teaching* teaching = nullptr);

  // The same without gradients; held-out loss is mean_loss() of the sum of these.
  StepStats evaluate(const TrainBatch& batch);
  // The same; token_losses [rows, row_length] become the cross-entropies in nats, 0 without target.
  StepStats evaluate(const TrainBatch& batch, std::vector<float>& token_losses);
  double loss(const TrainBatch& batch) { return evaluate(batch).mean_loss(); }

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace axk1
