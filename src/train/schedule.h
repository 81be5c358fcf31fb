// How the learning rate moves over the steps of a stage. Pure.
#pragma once

#include <cstdint>

namespace axk1 {

enum class ScheduleKind : uint8_t {
  kWsd,     // warm-up, stable, decay (Hu et al. 2024, MiniCPM)
  kCosine,  // warm-up, then half a cosine (Loshchilov and Hutter 2017)
};

// How WSD falls: t runs from 0 to 1 over the decay steps, the values are the share of
// (peak - min) that is left.
enum class DecayShape : uint8_t {
  kLinear,  // 1 - t
  kSqrt,    // 1 - sqrt(t) (Haegele et al. 2024)
  kCosine,  // (1 + cos(pi t)) / 2
};

struct Schedule {
  ScheduleKind kind = ScheduleKind::kWsd;
  uint64_t steps = 1;         // of the stage; at least 1
  uint64_t warmup_steps = 0;  // warmup_steps + decay_steps at most steps
  uint64_t decay_steps = 0;   // of WSD
  DecayShape decay_shape = DecayShape::kLinear;
  double peak = 0, min = 0;  // learning rates
};

// The learning rate of step `step` of the stage, counted from 0, below `steps`. Rises in equal
// parts so that the last warm-up step has the peak; falls so that the last step of the stage has
// the minimum.
double learning_rate(const Schedule& schedule, uint64_t step);

}  // namespace axk1
