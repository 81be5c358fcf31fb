#include "train/schedule.h"

#include <cmath>

#include "base/check.h"

namespace axk1 {
namespace {

double left_of(DecayShape shape, double t) {
  switch (shape) {
    case DecayShape::kLinear:
      return 1 - t;
    case DecayShape::kSqrt:
      return 1 - std::sqrt(t);
    case DecayShape::kCosine:
      break;
  }
  return 0.5 * (1 + std::cos(M_PI * t));
}

}  // namespace

double learning_rate(const Schedule& s, uint64_t step) {
  AXK1_CHECK(step < s.steps && s.warmup_steps + s.decay_steps <= s.steps);
  if (step < s.warmup_steps) {
    return s.peak * static_cast<double>(step + 1) / static_cast<double>(s.warmup_steps);
  }
  const bool cosine = s.kind == ScheduleKind::kCosine;
  const uint64_t falling = cosine ? s.steps - s.warmup_steps : s.decay_steps;
  const uint64_t from = s.steps - falling;
  if (step < from) return s.peak;
  if (step + 1 == s.steps) return s.min;  // exactly, whatever the rounding below
  const double t = static_cast<double>(step - from + 1) / static_cast<double>(falling);
  return s.min + (s.peak - s.min) * left_of(cosine ? DecayShape::kCosine : s.decay_shape, t);
}

}  // namespace axk1
