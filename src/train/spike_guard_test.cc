#include "train/spike_guard.h"

#include <gtest/gtest.h>

#include <limits>

namespace axk1 {
namespace {

TEST(SpikeGuard, SkipsWhatIsFarAboveTheMedian) {
  SpikeGuard guard({.factor = 3, .window = 8});
  EXPECT_FALSE(guard.is_spike(5, 100)) << "nothing to compare with yet";
  for (double norm : {1.0, 1.5, 0.5}) EXPECT_FALSE(guard.is_spike(5, norm));
  EXPECT_EQ(guard.median(), 1.5);  // of 0.5 1 1.5 100
  EXPECT_FALSE(guard.is_spike(5, 4.5)) << "three times the median is not above it";
  EXPECT_EQ(guard.median(), 1.5);  // of 0.5 1 1.5 4.5 100
  EXPECT_TRUE(guard.is_spike(5, 4.6));
  EXPECT_TRUE(guard.is_spike(5, 4.6));
  EXPECT_EQ(guard.skipped(), 2u);
  EXPECT_EQ(guard.skipped_in_a_row(), 2u);
  EXPECT_EQ(guard.state().norms.size(), 5u) << "a spike is not remembered";
  EXPECT_FALSE(guard.is_spike(5, 1));
  EXPECT_EQ(guard.skipped_in_a_row(), 0u);
  for (int i = 0; i < 8; ++i) guard.is_spike(5, 2);
  EXPECT_EQ(guard.median(), 2) << "the window moves";
}

TEST(SpikeGuard, WhatIsNotFiniteIsAlwaysSkipped) {
  SpikeGuard guard({});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(guard.is_spike(nan, 1));
  EXPECT_TRUE(guard.is_spike(1, nan));
  EXPECT_TRUE(guard.is_spike(1, std::numeric_limits<double>::infinity()));
  EXPECT_FALSE(guard.is_spike(1, 1));
  EXPECT_FALSE(guard.is_spike(1, 1e9)) << "without a factor any finite norm passes";
}

TEST(SpikeGuard, GoesOnFromItsState) {
  SpikeGuard guard({.factor = 2, .window = 4});
  for (double norm : {1.0, 1.0, 5.0, 1.0, 2.0}) guard.is_spike(1, norm);
  SpikeGuard other({.factor = 2, .window = 4});
  other.restore(guard.state());
  for (double norm : {2.1, 1.9, 2.5, 3.9, 3.0}) {
    EXPECT_EQ(other.is_spike(1, norm), guard.is_spike(1, norm)) << norm;
  }
  EXPECT_EQ(other.skipped(), guard.skipped());
  EXPECT_GT(other.skipped(), 1u);
}

}  // namespace
}  // namespace axk1
