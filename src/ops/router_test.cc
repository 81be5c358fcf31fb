#include "ops/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace axk1 {
namespace {

struct Choice {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

Choice choose(const RouterShape& shape, const std::vector<float>& logits,
              const std::vector<float>& bias) {
  Choice c{std::vector<int32_t>(shape.top_k), std::vector<float>(shape.top_k)};
  route(shape, logits.data(), bias.data(), c.experts.data(), c.weights.data());
  return c;
}

float sigmoid(float x) {
  return 1 / (1 + std::exp(-x));
}

TEST(Router, TakesTheLargestInAscendingOrderWithNormalisedWeights) {
  const RouterShape shape{.num_experts = 4, .top_k = 2, .scaling_factor = 2.5f};
  const Choice c = choose(shape, {3, -1, 0, 4}, {0, 0, 0, 0});
  EXPECT_EQ(c.experts, (std::vector<int32_t>{0, 3}));
  const float sum = sigmoid(3) + sigmoid(4);
  EXPECT_FLOAT_EQ(c.weights[0], sigmoid(3) / sum * 2.5f);
  EXPECT_FLOAT_EQ(c.weights[1], sigmoid(4) / sum * 2.5f);
}

TEST(Router, BiasChoosesButDoesNotWeigh) {
  const RouterShape shape{.num_experts = 3, .top_k = 1, .norm_topk_prob = false};
  const Choice c = choose(shape, {2, 0, 1}, {0, 1, 0});
  EXPECT_EQ(c.experts[0], 1);
  EXPECT_FLOAT_EQ(c.weights[0], 0.5f);
}

TEST(Router, EqualScoresGoToTheLowerExpert) {
  const RouterShape shape{.num_experts = 5, .top_k = 3};
  EXPECT_EQ(choose(shape, {1, 1, 1, 1, 1}, {0, 0, 0, 0, 0}).experts,
            (std::vector<int32_t>{0, 1, 2}));
}

TEST(Router, GroupScoreDecidesBetweenGroups) {
  // Group 0 has the single best expert, group 1 the better pair.
  const std::vector<float> logits = {3, -4, 1.5f, 1.5f};
  const std::vector<float> bias(4, 0);
  RouterShape shape{.num_experts = 4, .top_k = 1, .num_groups = 2, .top_groups = 1};
  EXPECT_EQ(choose(shape, logits, bias).experts[0], 2);
  shape.group_score = GroupScore::kMax;
  EXPECT_EQ(choose(shape, logits, bias).experts[0], 0);
}

TEST(Router, MaskedGroupsAreNeverTakenEvenWithNegativeScores) {
  // A bias of -2 makes every kept score negative: filling masked groups with 0 would be wrong.
  const RouterShape shape{.num_experts = 4, .top_k = 2, .num_groups = 2, .top_groups = 1};
  EXPECT_EQ(choose(shape, {2, 1, -2, -2}, {-2, -2, -2, -2}).experts, (std::vector<int32_t>{0, 1}));
}

TEST(Router, SurvivesNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const RouterShape shape{.num_experts = 4, .top_k = 3, .num_groups = 2, .top_groups = 2};
  const Choice c = choose(shape, {nan, nan, nan, 1}, {0, 0, 0, 0});
  EXPECT_EQ(c.experts.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_GE(c.experts[i], 0);
    EXPECT_LT(c.experts[i], 4);
    if (i) {
      EXPECT_GT(c.experts[i], c.experts[i - 1]);
    }
  }
}

// Against a definition that sorts everything.
TEST(Router, MatchesTheDefinitionOnRandomScores) {
  Rng rng(1);
  for (int round = 0; round < 300; ++round) {
    const size_t groups = size_t{1} << rng.next() % 4, size = 2 + rng.next() % 24;
    RouterShape shape{.num_experts = groups * size, .num_groups = groups};
    shape.top_groups = 1 + rng.next() % groups;
    shape.top_k = 1 + rng.next() % std::min<size_t>(8, shape.top_groups * size);
    std::vector<float> logits(shape.num_experts), bias(shape.num_experts);
    for (float& x : logits) x = static_cast<float>(rng.normal());
    for (float& x : bias) x = static_cast<float>(rng.normal() * 0.1);
    std::vector<std::pair<float, size_t>> by_group, by_expert;
    std::vector<float> score(shape.num_experts);
    for (size_t e = 0; e < score.size(); ++e) score[e] = sigmoid(logits[e]) + bias[e];
    for (size_t g = 0; g < groups; ++g) {
      std::vector<float> part(score.begin() + static_cast<std::ptrdiff_t>(g * size),
                              score.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
      std::sort(part.rbegin(), part.rend());
      by_group.push_back({-(part[0] + part[1]), g});
    }
    std::sort(by_group.begin(), by_group.end());
    for (size_t i = 0; i < shape.top_groups; ++i) {
      for (size_t e = by_group[i].second * size; e < (by_group[i].second + 1) * size; ++e) {
        by_expert.push_back({-score[e], e});
      }
    }
    std::sort(by_expert.begin(), by_expert.end());
    std::vector<int32_t> expected;
    for (size_t i = 0; i < shape.top_k; ++i) {
      expected.push_back(static_cast<int32_t>(by_expert[i].second));
    }
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(choose(shape, logits, bias).experts, expected) << "round " << round;
  }
}

}  // namespace
}  // namespace axk1
