// How well a model predicts a text.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>

#include "engine/engine.h"
#include "engine/text_windows.h"

namespace axk1 {

struct PerplexityResult {
  size_t tokens = 0;  // predicted
  size_t bytes = 0;   // of the text that these tokens are
  double nats = 0;    // sum of -ln p over the tokens
  bool used_begin_token = false;

  double nats_per_token() const;
  double bits_per_byte() const;
};

// -ln softmax(logits)[target] for every row of logits [targets, vocab], in double.
void negative_log_likelihoods(ThreadPool& pool, std::span<const float> logits,
                              std::span<const TokenId> targets, std::span<double> nats);

// The text is cut as in tokens_of_text and read in the windows of `options`. `progress` gets the
// tokens predicted so far. Throws Error(kInvalidInput) when nothing is left to predict or options
// are out of range.
PerplexityResult perplexity(Engine& engine, std::string_view text, const TextOptions& options,
                            const std::function<void(size_t done, size_t total)>& progress = {});

}  // namespace axk1
