#include "train/train_model.h"

#include "base/check.h"
#include "base/error.h"
#include "train/fast_ops.h"
#include "train/graph.h"

namespace axk1 {
namespace {

void check_batch(const TrainBatch& batch, const ModelConfig& config) {
  const size_t tokens = batch.rows * batch.row_length;
  if (tokens == 0 || batch.inputs.size() != tokens || batch.targets.size() != tokens ||
      batch.positions.size() != tokens) {
    fail(ErrorCode::kInvalidInput, "training batch: ", batch.inputs.size(), " inputs, ",
         batch.targets.size(), " targets and ", batch.positions.size(), " positions, expected ",
         batch.rows, " rows of ", batch.row_length, " each, at least one");
  }
  if (!batch.weights.empty() && batch.weights.size() != tokens) {
    fail(ErrorCode::kInvalidInput, "training batch: ", batch.weights.size(), " weights, expected ",
         tokens, " or none");
  }
  for (size_t i = 0; i < tokens; ++i) {
    const auto wrong = [&](const char* what, int64_t found, const auto&... expected) {
      fail(ErrorCode::kInvalidInput, "training batch: ", what, " ", found, " at row ",
           i / batch.row_length, ", column ", i % batch.row_length, ", expected ", expected...);
    };
    if (batch.inputs[i] < 0 || batch.inputs[i] >= config.vocab_size) {
      wrong("id", batch.inputs[i], "0 to ", config.vocab_size - 1);
    }
    if (batch.targets[i] != TrainBatch::kNoTarget &&
        (batch.targets[i] < 0 || batch.targets[i] >= config.vocab_size)) {
      wrong("target", batch.targets[i], "0 to ", config.vocab_size - 1, ", or ",
            TrainBatch::kNoTarget, " for none");
    }
    // 0, or one more than the token before: what attention relies on.
    const int32_t position = batch.positions[i];
    const bool goes_on = i % batch.row_length != 0 && position == batch.positions[i - 1] + 1;
    if (position != 0 && !goes_on) {
      wrong("position", position, "0 or the one after its neighbour's");
    }
  }
}

}  // namespace

class TrainModel::Impl {
 public:
  Impl(const ParamStore& params, const KernelTable& kernels, ThreadPool& pool,
       const TrainModelOptions& options)
      : params_(params),
        ops_(params, kernels, pool, options.compute),
        graph_(params.layout(), ops_, options.mtp_weight) {}

  StepStats run(const TrainBatch& batch, double scale, float* gradients, const Teaching* teaching) {
    check_batch(batch, params_.config());
    ops_.begin(gradients);
    return graph_.run(batch, params_.router_biases(), scale, gradients != nullptr, teaching);
  }
  void copy_losses(std::vector<float>& losses) const {
    losses.clear();
    for (const DistilRowLoss& loss : graph_.token_losses()) {
      losses.push_back(static_cast<float>(loss.text));
    }
  }

 private:
  const ParamStore& params_;
  FastOps ops_;
  Graph<FastOps> graph_;
};

TrainModel::TrainModel(const ParamStore& params, const KernelTable& kernels, ThreadPool& pool,
                       const TrainModelOptions& options) {
  if (options.compute != DType::kF32 && options.compute != DType::kBF16) {
    fail(ErrorCode::kUnsupported, "training: cannot compute in ", dtype_name(options.compute),
         ", expected f32 or bf16");
  }
  impl_ = std::make_unique<Impl>(params, kernels, pool, options);
}

TrainModel::~TrainModel() = default;

StepStats TrainModel::forward_backward(const TrainBatch& batch, uint64_t targets_in_step,
                                       Gradients& gradients, const Teaching* teaching) {
  AXK1_CHECK(targets_in_step > 0);
  return impl_->run(batch, 1 / static_cast<double>(targets_in_step), gradients.values().data(),
                    teaching);
}

StepStats TrainModel::evaluate(const TrainBatch& batch) {
  return impl_->run(batch, 0, nullptr, nullptr);
}

StepStats TrainModel::evaluate(const TrainBatch& batch, std::vector<float>& token_losses) {
  const StepStats stats = evaluate(batch);
  impl_->copy_losses(token_losses);
  return stats;
}

}  // namespace axk1
