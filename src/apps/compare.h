// How far one model's predictions of a text are from another's: the cost of quantising, in nats.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/text_windows.h"

namespace axk1 {

// Of one position, from the full softmax distributions p and q of two models.
struct RowComparison {
  double kl = 0;              // sum of p ln(p / q), nats; not below 0
  double reference_nats = 0;  // -ln p(target)
  double other_nats = 0;      // -ln q(target)
  bool same_top1 = false;     // the likeliest token is the same (the lowest id of equals)
};

// Softmax of both rows [vocab] in double. A NaN or infinity among the logits makes kl NaN.
RowComparison compare_rows(std::span<const float> reference, std::span<const float> other,
                           TokenId target);

struct ComparisonResult {
  size_t total_tokens = 0;                // that the text has to predict
  size_t tokens = 0;                      // compared: all of them, unless it was stopped
  size_t bytes = 0;                       // of the text that total_tokens are
  double kl_mean = 0, kl_mean_error = 0;  // nats; standard error, positions taken as independent
  double kl_median = 0, kl_p99 = 0, kl_p999 = 0, kl_max = 0;  // nearest rank
  double top1_agreement = 0;                                  // share of positions
  double reference_nats = 0, other_nats = 0;                  // per token

  double perplexity_ratio() const;  // of other over reference
};

// The q-quantile by nearest rank: the smallest of the values that at least a share q of them does
// not exceed. Reorders `values`, which are not empty.
double quantile(std::span<double> values, double q);

// Both models read the same ids in the windows of `options`; a limit of context is the shorter of
// theirs. Memory: 8 bytes a token beside the models. `progress` gets the tokens compared so far and
// returns false to stop; the result is then of those. Throws Error(kInvalidInput) when vocabularies
// differ, no token is left to predict, options are out of range, or logits are not finite.
ComparisonResult compare(Engine& reference, Engine& other, std::string_view text,
                         const TextOptions& options,
                         const std::function<bool(size_t done, size_t total)>& progress = {});

}  // namespace axk1
