// Many completions, waited for together.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "engine/completion_service.h"

namespace axk1 {

struct CompletedAnswer {
  std::vector<TokenId> ids;     // with the end token when there was one
  std::vector<float> logprobs;  // [ids] of the tokens chosen, when asked for (top_logprobs)
  std::string text;             // as CompletionDelta::text; empty without a tokenizer
  FinishReason finish_reason = FinishReason::kStop;
};

// The answers to `inputs`, in their order, each as if computed alone. Submits as many at once as
// the service takes. `progress`, called by this thread, gets the number of answers that are done;
// false ends it, and the answers are then empty. Throws Error: what submit() throws, a
// completion that failed. One thread at a time.
std::vector<CompletedAnswer> complete_all(CompletionService& service,
                                          std::vector<CompletionInput> inputs,
                                          const std::function<bool(size_t done)>& progress = {});

}  // namespace axk1
