// The model that is being trained, as the inference engine runs it.
#pragma once

#include <memory>
#include <string>

#include "engine/batching_service.h"
#include "model/weights.h"
#include "train/param_store.h"

namespace axk1 {

// Matrices are views into `params`, vectors are copied; layers of multi-token prediction are left
// out.
ModelWeights policy_weights(const ParamStore& params);

struct PolicyEngineOptions {
  int num_threads = 1;
  std::string kernels;        // as EngineOptions
  size_t max_sequences = 16;  // computed together
  size_t context_tokens = 0;  // of a prompt and its answer; 0: the model's
};

// Answers with the weights that `params` has while this lives: nothing is written to a disk, and
// nothing but the vectors is copied. References are kept; the weights must not change meanwhile.
// Construction takes the memory of its cache. One thread at a time.
class PolicyEngine {
 public:
  PolicyEngine(const ParamStore& params, const Tokenizer& tokenizer,
               const PolicyEngineOptions& options);

  // With the text of answers.
  CompletionService& service() { return *service_; }

 private:
  Engine engine_;
  std::unique_ptr<BatchingService> service_;
};

}  // namespace axk1
