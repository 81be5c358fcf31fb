#include "engine/speculation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(PromptLookup, GoesOnAsTheLastTime) {
  PromptLookup lookup(1000);
  std::vector<TokenId> drafts;
  std::vector<TokenId> line = {1, 2, 3, 4, 5, 6, 9, 2, 3};
  lookup.propose(line, 4, drafts);
  EXPECT_THAT(drafts, IsEmpty());  // 9 2 3 is new
  line.push_back(4);
  lookup.propose(line, 3, drafts);
  EXPECT_THAT(drafts, ElementsAre(5, 6, 9));
  lookup.propose(line, 1, drafts);
  EXPECT_THAT(drafts, ElementsAre(5));
  for (TokenId id : {7, 7, 2, 3, 4}) line.push_back(id);
  lookup.propose(line, 2, drafts);
  EXPECT_THAT(drafts, ElementsAre(7, 7));  // the newer of two
  lookup.clear();
  line = {2, 3, 4};
  lookup.propose(line, 2, drafts);
  EXPECT_THAT(drafts, IsEmpty());
}

TEST(PromptLookup, ARunOfOneTokenFollowsItself) {
  PromptLookup lookup(100);
  std::vector<TokenId> drafts;
  lookup.propose(std::vector<TokenId>(20, 5), 4, drafts);
  EXPECT_THAT(drafts, ElementsAre(5));
}

// Whatever shares a slot of the table is never taken for the run that was asked for.
TEST(PromptLookup, NeverProposesWhatDidNotFollow) {
  PromptLookup lookup(64);
  std::vector<TokenId> line, drafts;
  size_t found = 0;
  for (TokenId i = 0; i < 5000; ++i) {
    line.push_back(i * i % 41 % 7);
    lookup.propose(line, 2, drafts);
    if (drafts.empty()) continue;
    ++found;
    bool seen = false;
    for (size_t at = 0; at + 3 + drafts.size() <= line.size() && !seen; ++at) {
      seen =
          std::equal(line.end() - 3, line.end(), line.begin() + static_cast<std::ptrdiff_t>(at)) &&
          std::equal(drafts.begin(), drafts.end(),
                     line.begin() + static_cast<std::ptrdiff_t>(at + 3));
    }
    ASSERT_TRUE(seen) << "at " << i;
  }
  EXPECT_GT(found, 1000u);
}

TEST(StepCost, FindsTheShareOfRows) {
  StepCost cost;
  EXPECT_EQ(cost.row_share(1), 0.5);
  for (size_t i = 0; i < 50; ++i) {
    const size_t rows = 1 + i % 5;
    cost.record(rows, 0.010 + 0.002 * static_cast<double>(rows));
  }
  EXPECT_NEAR(cost.row_share(1), 2.0 / 12, 1e-6);
  EXPECT_NEAR(cost.row_share(5), 10.0 / 20, 1e-6);
  for (int i = 0; i < 2000; ++i) cost.record(4, 0.018);  // one size teaches nothing
  EXPECT_NEAR(cost.row_share(1), 2.0 / 12, 0.02);
}

TEST(DraftGate, ClosesWhenDraftsDoNotPayAndTriesAgain) {
  DraftGate gate;
  EXPECT_TRUE(gate.open(0, 0.5));
  size_t proposed = 0;
  size_t n = 0;
  for (; n < 4000; ++n) {
    if (!gate.open(n, 0.5)) continue;
    gate.record(4, 0);
    proposed += 4;
  }
  EXPECT_GT(proposed, 16u);   // it tries again
  EXPECT_LT(proposed, 200u);  // ever less often
  DraftGate good;
  for (n = 0; n < 1000; ++n) {
    ASSERT_TRUE(good.open(n, 0.5));
    good.record(4, 3);
  }
  DraftGate dear;  // right three times of four, but a row costs as much as a step
  for (n = 0, proposed = 0; n < 1000; ++n) {
    if (!dear.open(n, 0.99)) continue;
    dear.record(4, 3);
    proposed += 4;
  }
  EXPECT_LT(proposed, 200u);
}

TEST(MtpGate, GuessesAsManyAsGiveTheMostTokensASecond) {
  const auto always = [](double rate) {
    MtpRates rates;
    rates.rate.fill(rate);
    return rates;
  };
  const MtpGate::Costs cheap{.seconds = 1, .row = 0.05, .first = 0.05, .next = 0.05};
  EXPECT_EQ(MtpGate(always(0.9)).guesses(0, cheap, 4), 4u);
  EXPECT_EQ(MtpGate(always(0.9)).guesses(0, cheap, 3), 3u);
  // 1.3 / 1.1 a second, then 1.39 / 1.2, 1.417 / 1.3
  EXPECT_EQ(MtpGate(always(0.3)).guesses(0, cheap, 4), 1u);
  EXPECT_EQ(MtpGate(always(0.09)).guesses(0, cheap, 4), 0u);
  const MtpGate::Costs dear{.seconds = 1, .row = 0.5, .first = 0.6, .next = 0.6};
  MtpGate never(always(1));
  for (size_t n = 0; n < 5000; ++n) ASSERT_EQ(never.guesses(n, dear, 4), 0u);
}

TEST(MtpGate, WithoutCostsGuessesEveryOtherStep) {
  MtpGate gate;
  size_t sum = 0;
  for (size_t n = 0; n < 10; ++n) sum += gate.guesses(n, std::nullopt, 4);
  EXPECT_EQ(sum, 5u);
}

TEST(MtpGate, PausesWhenGuessesAreWrongAndTriesAgain) {
  const MtpGate::Costs costs{.seconds = 1, .row = 0.2, .first = 0.1, .next = 0.1};
  MtpGate gate;
  size_t proposed = 0, last = 0;
  for (size_t n = 0; n < 4000; ++n) {
    const size_t count = gate.guesses(n, costs, 4);
    gate.record(count, 0);
    proposed += count;
    if (count) last = n;
  }
  EXPECT_GT(proposed, 20u);
  EXPECT_LT(proposed, 150u);
  EXPECT_GT(last, 1000u);
}

TEST(MtpRates, AreOfEachDepthGivenTheOnesBefore) {
  MtpRates rates;
  for (int i = 0; i < 2000; ++i) rates.record(3, i % 2 ? 2 : 0, 1.0 / 16);
  EXPECT_NEAR(rates.rate[0], 0.5, 0.05);
  EXPECT_NEAR(rates.rate[1], 1, 1e-6);
  EXPECT_NEAR(rates.rate[2], 0, 1e-6);
  EXPECT_NEAR(rates.expected(3), 2 * rates.rate[0], 1e-5);
  const double before = rates.rate[2];
  for (int i = 0; i < 1000; ++i) rates.record(2, 2, 1.0 / 16);  // the third is not tried
  EXPECT_GT(rates.rate[2], before + 0.3);
}

TEST(MtpCost, AFurtherGuessIsTakenForTheFirstUntilOneWasMade) {
  MtpCost cost;
  EXPECT_EQ(cost.first(), 0);
  cost.record_first(0.03);
  EXPECT_DOUBLE_EQ(cost.first(), 0.03);
  EXPECT_DOUBLE_EQ(cost.next(), 0.03);
  cost.record_next(0.015);
  cost.record_first(0.03 + 16 * 0.01);
  EXPECT_DOUBLE_EQ(cost.next(), 0.015);
  EXPECT_DOUBLE_EQ(cost.first(), 0.04);
}

}  // namespace
}  // namespace axk1
