#include "rl/gspo.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace axk1 {

std::vector<double> group_advantages(std::span<const double> rewards) {
  const auto n = static_cast<double>(rewards.size());
  double mean = 0, squares = 0;
  for (double r : rewards) mean += r / n;
  for (double r : rewards) squares += (r - mean) * (r - mean) / n;
  std::vector<double> advantages(rewards.size());
  const bool equal = std::ranges::all_of(rewards, [&](double r) { return r == rewards.front(); });
  if (equal) return advantages;
  for (size_t i = 0; i < rewards.size(); ++i) {
    advantages[i] = (rewards[i] - mean) / std::sqrt(squares);
  }
  return advantages;
}

GspoTerm gspo_term(double advantage, std::span<const double> logprobs,
                   std::span<const double> old_logprobs, const GspoOptions& options) {
  AXK1_CHECK(!logprobs.empty() && logprobs.size() == old_logprobs.size());
  const auto length = static_cast<double>(logprobs.size());
  double sum = 0;
  for (size_t t = 0; t < logprobs.size(); ++t) sum += logprobs[t] - old_logprobs[t];
  GspoTerm term;
  term.ratio = std::exp(sum / length);
  const double held = std::clamp(term.ratio, 1 - options.clip_low, 1 + options.clip_high);
  term.clipped = held * advantage < term.ratio * advantage;
  term.objective = (term.clipped ? held : term.ratio) * advantage;
  if (!term.clipped) term.slope = term.ratio * advantage / length;
  return term;
}

}  // namespace axk1
