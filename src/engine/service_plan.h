// How much memory serving takes, term by term, decided before anything is reserved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/engine.h"

namespace axk1 {

// Bytes. What is there when the service starts, and what it adds.
struct ServicePlan {
  uint64_t limit = 0;     // of this process
  uint64_t weights = 0;   // mapped files and copies
  uint64_t scratch = 0;   // activations of one step
  uint64_t process = 0;   // program, tokenizer, server: an allowance
  uint64_t logits = 0;    // rows that are computed at once
  uint64_t requests = 0;  // tables and tokens of max_sequences requests of full length
  uint64_t cache = 0;     // blocks of latents
  uint64_t block_bytes = 0;
  size_t block_tokens = 0;
  size_t num_blocks = 0;
  size_t max_sequences = 0;
  size_t context_tokens = 0;
  size_t logit_rows = 0;

  uint64_t added() const { return logits + requests + cache; }  // by the service
  uint64_t total() const { return weights + scratch + process + added(); }
  // One term a line, sum and limit last: for logs and refusals.
  std::string text() const;
};

struct ServicePlanOptions {
  size_t max_sequences = 16;
  size_t context_tokens = 0;  // 0: the model's
  uint64_t max_memory = 0;    // 0: machine_memory_bytes()
  uint64_t kv_memory = 0;     // 0: what is left, at most two full contexts for each sequence
};

// Throws Error(kOutOfMemory) listing the terms when not even one sequence of context_tokens fits,
// or kv_memory does not; Error(kInvalidInput) for options out of range.
ServicePlan plan_service(Engine& engine, const ServicePlanOptions& options);

}  // namespace axk1
