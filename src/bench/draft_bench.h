// What drafts are worth: the same requests answered by the completion service with and without.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/batching_service.h"
#include "engine/engine.h"

namespace axk1 {

struct DraftRequest {
  std::vector<TokenId> prompt;
  GenerateOptions generate;
};

// One kind of drafts.
struct DraftBenchRow {
  // "none", "lookup", "mtp", "both", and "mtp always": whether or not it pays
  std::string name;
  std::vector<double> tokens_per_second;  // [samples] generated, of all requests
  std::vector<double> speed_up;           // [samples] against "none" of the same sample
  uint64_t tokens = 0;                    // generated, of one sample
  uint64_t steps = 0;                     // of the model, likewise
  uint64_t drafts = 0, accepted = 0;      // likewise
  double acceptance() const {
    return drafts ? static_cast<double>(accepted) / static_cast<double>(drafts) : 0;
  }
};

struct DraftBenchOptions {
  size_t num_samples = 5;
  size_t streams = 1;  // requests answered together
  size_t draft_tokens = 4;
};

// Samples of the kinds are interleaved, so that a drift of the machine meets all alike. A model
// without multi-token prediction has no rows of it. Throws Error when drafts changed an answer, or
// one failed.
std::vector<DraftBenchRow> bench_drafts(Engine& engine, std::span<const DraftRequest> requests,
                                        const DraftBenchOptions& options,
                                        const std::function<void(size_t, size_t)>& step = {});

}  // namespace axk1
