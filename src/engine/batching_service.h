// The completion service over one engine: requests of many clients computed together, step by step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/completion_service.h"
#include "engine/engine.h"
#include "engine/service_plan.h"
#include "engine/step_model.h"

namespace axk1 {

struct ServiceOptions {
  size_t max_sequences = 16;    // computed together
  size_t max_queue = 256;       // waiting besides them, before submit() refuses
  size_t context_tokens = 0;    // longest prompt and answer together; 0: the model's context
  uint64_t max_memory = 0;      // bytes of this process; 0: the machine's, or its control group's
  uint64_t kv_memory = 0;       // bytes of cache blocks; 0: what the plan leaves
  size_t prefill_tokens = 0;    // of one step, beside decoding; 0: as many as a step takes
  bool prefix_cache = true;     // keep what was read for requests that begin alike
  bool drafts = true;           // guess further tokens, while it pays:
  bool always_draft = false;    //   or not: to measure what it is worth
  bool lookup = true;           //   by prompt lookup
  bool mtp = true;              //   by the model's layer of multi-token prediction, if it has one
  size_t draft_tokens = 4;      // most of one sequence and step
  double aging_seconds = 30;    // waiting this long raises a request's priority by one
  bool null_model = false;      // compute nothing, answer a fixed text: to measure what is around
  std::function<double()> now;  // seconds on a clock that never goes back; empty: steady_clock
};

// Thread-safe, as its base. The engine is the service's alone while it lives.
class BatchingService : public CompletionService {
 public:
  // What memory was reserved, and why so much.
  virtual const ServicePlan& plan() const = 0;

  // Writes the prefix cache to a file (docs/formats.md, "Prefix cache files"), while no step runs;
  // returns the number of blocks. Throws Error(kIo, kNotFound).
  virtual size_t save_prefixes(const std::string& path) = 0;

  struct Loaded {
    size_t blocks = 0;
    std::string message;  // why nothing, or not all, was taken; empty when all was
  };
  // Takes the blocks of such a file into the cache, the most recently used ones when not all fit.
  // A file that is absent, damaged or of another model is left alone and the message says so.
  virtual Loaded load_prefixes(const std::string& path) = 0;
};

// Reserves and touches all memory that serving takes, then starts the service's thread. `engine`
// must outlive the service. Throws Error(kOutOfMemory) with the arithmetic when the plan does not
// fit, Error(kInvalidInput) for options out of range.
std::unique_ptr<BatchingService> make_batching_service(Engine& engine,
                                                       const ServiceOptions& options);
// The same over another model: for tests.
std::unique_ptr<BatchingService> make_batching_service(std::unique_ptr<StepModel> model,
                                                       const ServiceOptions& options);

}  // namespace axk1
