// How well a model predicts a text.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace axk1 {

struct PerplexityOptions {
  size_t context = 0;       // tokens the model sees at most; 0: its context length
  size_t stride = 0;        // tokens predicted in one window, at most `context`; 0: as many
  bool begin_token = true;  // the first token is predicted from bos_token_id, where there is one
};

struct PerplexityResult {
  size_t tokens = 0;  // predicted
  size_t bytes = 0;   // of the text that these tokens are
  double nats = 0;    // sum of -ln p over the tokens
  bool used_begin_token = false;

  double nats_per_token() const;
  double bits_per_byte() const;
};

// Tokens of one window: [first_input, first_target + num_targets - 1) is read, and the num_targets
// tokens from first_target on are predicted, each from what was read before it.
struct PerplexityWindow {
  size_t first_input;
  size_t first_target;
  size_t num_targets;
};

// Windows over `length` tokens of which the first is only read: every other token is predicted
// exactly once. A window predicts `stride` tokens (the last one what is left) and reads `context`
// tokens that end with the last but one of them, or all from the start. So with stride = context
// the windows overlap in no predicted token, and the first token of each sees one token (the
// rolling scheme of EleutherAI's lm-evaluation-harness); a smaller stride gives every token at
// least context - stride tokens to look at, for more work.
std::vector<PerplexityWindow> perplexity_windows(size_t length, size_t context, size_t stride);

// -ln softmax(logits)[target] for every row of logits [targets, vocab], in double.
void negative_log_likelihoods(ThreadPool& pool, std::span<const float> logits,
                              std::span<const TokenId> targets, std::span<double> nats);

// Special tokens in the text are text like any other; bytes that are not UTF-8 are tokens too.
// Without a begin token the first token is not predicted, and its bytes do not count. `progress`
// gets the tokens predicted so far. Throws Error(kInvalidInput) when nothing is left to predict or
// options are out of range.
PerplexityResult perplexity(Engine& engine, std::string_view text, const PerplexityOptions& options,
                            const std::function<void(size_t done, size_t total)>& progress = {});

}  // namespace axk1
