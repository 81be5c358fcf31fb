// How much memory serving takes, term by term, decided before anything is reserved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/step_model.h"

namespace axk1 {

// Bytes, and the counts they come from.
struct ServicePlan {
  uint64_t limit = 0;    // of this process
  uint64_t weights = 0;  // mapped files and copies: there already
  uint64_t scratch = 0;  // activations of one step: there already
  uint64_t process = 0;  // program, tokenizer, connections: an allowance
  uint64_t logits = 0;   // [logit_rows, vocab_size]
  uint64_t tables = 0;   // of blocks, of max_sequences requests of full length, of sampling
  uint64_t cache = 0;    // [num_blocks] blocks of latents

  uint64_t block_bytes = 0;
  size_t block_tokens = 0;
  size_t num_blocks = 0;
  size_t max_sequences = 0;
  size_t context_tokens = 0;  // of one request
  size_t logit_rows = 0;      // computed at once

  uint64_t added() const { return logits + tables + cache; }  // by the service
  uint64_t total() const { return weights + scratch + process + added(); }
  // One term a line, then the sum and the limit: for logs and refusals.
  std::string text() const;
};

struct ServicePlanOptions {
  size_t max_sequences = 16;
  size_t context_tokens = 0;  // 0: the model's
  uint64_t max_memory = 0;    // 0: machine_memory_bytes()
  size_t draft_rows = 0;      // of a step of one sequence, with its drafts; 0: none are made
  uint64_t kv_memory = 0;     // 0: what is left, at most two full contexts for each sequence
};

// Throws Error(kOutOfMemory) listing the terms when not even one sequence of context_tokens fits,
// or kv_memory does not; Error(kInvalidInput) for options out of range.
ServicePlan plan_service(const StepModel& model, const ServicePlanOptions& options);

}  // namespace axk1
