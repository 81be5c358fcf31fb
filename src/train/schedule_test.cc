#include "train/schedule.h"

#include <gtest/gtest.h>

namespace axk1 {
namespace {

TEST(Schedule, WsdMeetsItsBoundaries) {
  const Schedule s{.kind = ScheduleKind::kWsd,
                   .steps = 100,
                   .warmup_steps = 10,
                   .decay_steps = 20,
                   .peak = 1e-3,
                   .min = 1e-4};
  EXPECT_DOUBLE_EQ(learning_rate(s, 0), 1e-4);
  EXPECT_DOUBLE_EQ(learning_rate(s, 4), 5e-4);
  EXPECT_EQ(learning_rate(s, 9), 1e-3) << "the last warm-up step has the peak";
  EXPECT_EQ(learning_rate(s, 10), 1e-3);
  EXPECT_EQ(learning_rate(s, 79), 1e-3) << "the last stable step";
  EXPECT_DOUBLE_EQ(learning_rate(s, 80), 1e-3 - 0.05 * 9e-4) << "the first of 20 falls";
  EXPECT_DOUBLE_EQ(learning_rate(s, 89), 1e-3 - 0.5 * 9e-4);
  EXPECT_EQ(learning_rate(s, 99), 1e-4) << "the last step has the minimum";
}

TEST(Schedule, ShapesOfTheDecay) {
  Schedule s{.steps = 8, .decay_steps = 8, .peak = 2, .min = 0};
  s.decay_shape = DecayShape::kSqrt;
  EXPECT_DOUBLE_EQ(learning_rate(s, 1), 2 * (1 - 0.5)) << "t = 1/4";
  s.decay_shape = DecayShape::kCosine;
  EXPECT_DOUBLE_EQ(learning_rate(s, 3), 1) << "t = 1/2";
  for (DecayShape shape : {DecayShape::kLinear, DecayShape::kSqrt, DecayShape::kCosine}) {
    s.decay_shape = shape;
    for (uint64_t step = 1; step < s.steps; ++step) {
      EXPECT_LT(learning_rate(s, step), learning_rate(s, step - 1)) << step;
    }
    EXPECT_EQ(learning_rate(s, 7), 0);
  }
}

TEST(Schedule, CosineFallsFromThePeakToTheMinimum) {
  const Schedule s{
      .kind = ScheduleKind::kCosine, .steps = 44, .warmup_steps = 4, .peak = 1, .min = 0.1};
  EXPECT_EQ(learning_rate(s, 3), 1);
  EXPECT_LT(learning_rate(s, 4), 1);
  EXPECT_DOUBLE_EQ(learning_rate(s, 23), 0.1 + 0.9 * 0.5) << "half of the 40 steps";
  EXPECT_EQ(learning_rate(s, 43), 0.1);
}

TEST(Schedule, WithoutWarmUpOrDecay) {
  const Schedule s{.steps = 3, .peak = 0.5, .min = 0.1};
  for (uint64_t step = 0; step + 1 < 3; ++step) EXPECT_EQ(learning_rate(s, step), 0.5);
  EXPECT_EQ(learning_rate(s, 2), 0.5) << "with no decay steps the rate stays";
  const Schedule one{.kind = ScheduleKind::kCosine, .steps = 1, .peak = 0.5, .min = 0.1};
  EXPECT_EQ(learning_rate(one, 0), 0.1);
}

}  // namespace
}  // namespace axk1
