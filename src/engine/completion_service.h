// What servers and channels see of the engine: completions that are computed together, each as if
// alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/generate.h"
#include "grammar/token_constraint.h"

namespace axk1 {

struct CompletionInput {
  std::vector<TokenId> prompt;  // at least one
  GenerateOptions generate;
  std::unique_ptr<TokenConstraint> constraint;  // null: every token may come
  std::string tenant;        // shares of the machine and cached prefixes are kept apart by it
  int priority = 0;          // higher goes first
  int prompt_logprobs = -1;  // like GenerateOptions::top_logprobs, for the prompt's own tokens
};

struct CompletionUsage {
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;  // of the prompt, found in the prefix cache
  size_t completion_tokens = 0;
  size_t draft_tokens = 0;     // proposed
  size_t accepted_tokens = 0;  // of these
};

// What became known since the delta before. Concatenated texts are GenerateResult::text: whole
// characters, without end tokens and stop texts.
struct CompletionDelta {
  std::string text;
  std::vector<TokenId> ids;
  std::vector<StepLogprobs> logprobs;  // [ids] when asked for
  // With prompt_logprobs, in the first delta: [prompt tokens - 1], of all but the first token.
  std::vector<StepLogprobs> prompt_logprobs;
  std::optional<FinishReason> finish_reason;  // in the last delta, and only there
  std::string error;      // of the last delta, when the completion failed; finish_reason is absent
  CompletionUsage usage;  // so far

  bool last() const { return finish_reason.has_value() || !error.empty(); }
};

// Called by the service's own thread, in order, the last call with last(). Must not block: hand the
// delta on and return.
using OnDelta = std::function<void(CompletionDelta&&)>;

enum class Refusal { kQueueFull, kDraining };

struct SubmitResult {
  std::optional<uint64_t> id;      // of the completion that was taken on
  std::optional<Refusal> refusal;  // otherwise
  double retry_after_seconds = 0;  // estimate, with kQueueFull
};

// Counters and gauges of the moment. Counters only grow.
struct ServiceStats {
  size_t running = 0;  // completions that hold cache blocks
  size_t waiting = 0;
  size_t kv_blocks = 0;         // in all
  size_t kv_blocks_used = 0;    // held by running completions
  size_t kv_blocks_cached = 0;  // held by the prefix cache alone
  uint64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  uint64_t prefix_queries_tokens = 0, prefix_evicted_blocks = 0;
  uint64_t preemptions = 0, cancelled = 0, completed = 0, failed = 0;
  uint64_t draft_tokens = 0, accepted_tokens = 0;
  uint64_t mtp_draft_tokens = 0, mtp_accepted_tokens = 0;  // of these, by multi-token prediction
  uint64_t steps = 0;
};

// Thread-safe. Destruction cancels what is left.
class CompletionService {
 public:
  virtual ~CompletionService() = default;

  // Throws Error(kInvalidInput) when the request can never be computed (empty or too long prompt,
  // options out of range). on_delta may be called before this returns.
  virtual SubmitResult submit(CompletionInput input, OnDelta on_delta) = 0;

  // The client left: blocks are free within one step; one last delta with kCancelled follows,
  // unless the completion ended before.
  virtual void cancel(uint64_t id) = 0;

  // No new completions from now on; returns at once.
  virtual void drain() = 0;
  virtual bool idle() const = 0;  // nothing runs or waits

  virtual ServiceStats stats() const = 0;
};

}  // namespace axk1
