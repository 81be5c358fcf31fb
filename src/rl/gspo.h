// Group sequence policy optimisation (Zheng et al. 2025, arXiv 2507.18071). Pure; any thread.
//
// G answers y_1..y_G to one question have rewards r_1..r_G. With
//   A_i = (r_i - mean(r)) / std(r)                                                        (eq. 6)
//   s_i = (π(y_i) / π_old(y_i))^(1/|y_i|) = exp(mean over tokens of (log π - log π_old))  (eq. 7)
// the objective, which is made large, is the mean over answers of
//   min(s_i A_i, clip(s_i, 1 - low, 1 + high) A_i)                                        (eq. 5)
#pragma once

#include <span>
#include <vector>

namespace axk1 {

// Eq. 6, with the standard deviation of the group itself (divided by G). All 0 when the rewards are
// equal.
std::vector<double> group_advantages(std::span<const double> rewards);

struct GspoOptions {
  double clip_low = 3e-4, clip_high = 4e-4;
};

struct GspoTerm {
  double ratio = 1;      // s
  double objective = 0;  // one answer's
  // d objective / d log π of any of its tokens: s A / |y|, and 0 where it is clipped.
  double slope = 0;
  bool clipped = false;  // the objective is the clipped one, and constant
};

// Of one answer: log-probabilities of its tokens now and when it was drawn, as many, at least one.
GspoTerm gspo_term(double advantage, std::span<const double> logprobs,
                   std::span<const double> old_logprobs, const GspoOptions& options);

}  // namespace axk1
