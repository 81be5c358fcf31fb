#include "ops/router.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace axk1 {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// Writes the indices of the `count` largest of values [n] to best, ascending by index. Equal values
// go to the lower index. Overwrites what it takes with -infinity.
void take_largest(float* values, size_t n, size_t count, int32_t* best) {
  for (size_t taken = 0; taken < count; ++taken) {
    size_t at = n;
    for (size_t i = 0; i < n; ++i) {
      // A NaN score is never larger, so it is only taken when nothing else is left.
      if (at == n ? !std::isnan(values[i]) && values[i] != kNever : values[i] > values[at]) at = i;
    }
    if (at == n) {  // only NaN or -infinity left: the first ones not taken yet
      for (at = 0; std::find(best, best + taken, static_cast<int32_t>(at)) != best + taken;) ++at;
    }
    best[taken] = static_cast<int32_t>(at);
    values[at] = kNever;
  }
  std::sort(best, best + count);
}

}  // namespace

void route(const RouterShape& shape, const float* logits, const float* bias, int32_t* experts,
           float* weights) {
  const size_t n = shape.num_experts;
  AXK1_CHECK(n <= kMaxExperts && shape.top_k <= n && n % shape.num_groups == 0);
  std::array<float, kMaxExperts> choice;
  for (size_t i = 0; i < n; ++i) choice[i] = 1 / (1 + std::exp(-logits[i])) + bias[i];

  if (shape.top_groups < shape.num_groups) {
    const size_t size = n / shape.num_groups;
    std::array<float, kMaxExperts> group;
    for (size_t g = 0; g < shape.num_groups; ++g) {
      float first = kNever, second = kNever;
      for (size_t i = g * size; i < (g + 1) * size; ++i) {
        if (choice[i] > first) {
          second = first;
          first = choice[i];
        } else if (choice[i] > second) {
          second = choice[i];
        }
      }
      const bool both = shape.group_score == GroupScore::kTop2Sum && size > 1;
      group[g] = both ? first + second : first;
    }
    std::array<int32_t, kMaxExperts> kept;
    take_largest(group.data(), shape.num_groups, shape.top_groups, kept.data());
    for (size_t g = 0, k = 0; g < shape.num_groups; ++g) {
      if (k < shape.top_groups && kept[k] == static_cast<int32_t>(g)) {
        ++k;
      } else {
        std::fill_n(choice.begin() + static_cast<std::ptrdiff_t>(g * size), size, kNever);
      }
    }
  }

  take_largest(choice.data(), n, shape.top_k, experts);
  float sum = 0;
  for (size_t i = 0; i < shape.top_k; ++i) {
    weights[i] = 1 / (1 + std::exp(-logits[experts[i]]));
    sum += weights[i];
  }
  for (size_t i = 0; i < shape.top_k; ++i) {
    if (shape.norm_topk_prob) weights[i] /= sum + 1e-20f;
    weights[i] *= shape.scaling_factor;
  }
}

}  // namespace axk1
