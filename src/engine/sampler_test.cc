#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "kernels/registry.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

constexpr size_t kDraws = 40000;

std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3.5));
  return logits;
}

std::vector<size_t> draw(const SamplingOptions& options, const std::vector<float>& logits,
                         const std::vector<TokenId>& prompt = {},
                         const std::vector<TokenId>& answer = {}) {
  Sampler sampler(options, logits.size());
  std::vector<size_t> counts(logits.size());
  for (size_t i = 0; i < kDraws; ++i) {
    ++counts[static_cast<size_t>(sampler.sample(logits, prompt, answer))];
  }
  return counts;
}

std::set<size_t> drawn(const std::vector<size_t>& counts) {
  std::set<size_t> ids;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i]) ids.insert(i);
  }
  return ids;
}

// Pearson's statistic against weights (not normalised; a weight of 0 must never be drawn). With d
// degrees of freedom it exceeds d + 6 sqrt(2 d) + 12 less than once in 10^6 (Laurent and Massart
// 2000, lemma 1: d + 2 sqrt(d x) + 2 x, which for d <= 8 and x = 14 is at most 57).
void expect_frequencies(const std::vector<size_t>& counts, const std::vector<double>& weights) {
  double total = 0, statistic = 0;
  for (double w : weights) total += w;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double expected = weights[i] / total * kDraws;
    if (weights[i] == 0) {
      EXPECT_EQ(counts[i], 0u) << "token " << i;
      continue;
    }
    const double difference = static_cast<double>(counts[i]) - expected;
    statistic += difference * difference / expected;
  }
  EXPECT_LT(statistic, 57);
}

const std::vector<double> kEight = {0.3, 0.02, 0.2, 0.05, 0.15, 0.1, 0.08, 0.1};
const std::vector<double> kFive = {0.4, 0.1, 0.3, 0.15, 0.05};  // order: 0 2 3 1 4

TEST(Sampler, FrequenciesFollowSoftmaxAtAnyTemperature) {
  size_t cases = 0;
  for (float temperature : {0.5f, 1.0f, 2.0f}) {
    for (uint64_t seed : {0u, 1u, 99u}) {
      std::vector<double> weights;
      for (double p : kEight) weights.push_back(std::pow(p, 1.0 / temperature));
      SamplingOptions options{.temperature = temperature, .seed = seed};
      expect_frequencies(draw(options, logits_of(kEight)), weights);
      ++cases;
    }
  }
  printf("[ cases ] sampling frequencies: %zu\n", cases);
}

TEST(Sampler, FrequencyTestSeesAWrongDistribution) {
  const std::vector<size_t> counts = draw({.temperature = 1.1f}, logits_of(kEight));
  double statistic = 0;
  for (size_t i = 0; i < kEight.size(); ++i) {
    const double difference = static_cast<double>(counts[i]) - kEight[i] * kDraws;
    statistic += difference * difference / (kEight[i] * kDraws);
  }
  EXPECT_GT(statistic, 57);
}

TEST(Sampler, GreedyTakesTheLargestAndOfEqualOnesTheFirst) {
  Sampler sampler({.temperature = 0}, 5);
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 4, 2, 4, -1}, {}, {}), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{-3, -4, -2, -5, -9}, {}, {}), 2);
}

TEST(Sampler, TopKKeepsTheKMostLikely) {
  const std::vector<size_t> order = {0, 2, 3, 1, 4};
  for (size_t k = 1; k <= 5; ++k) {
    const auto counts = draw({.top_k = static_cast<int32_t>(k)}, logits_of(kFive));
    std::vector<double> weights(5);
    for (size_t i = 0; i < k; ++i) weights[order[i]] = kFive[order[i]];
    expect_frequencies(counts, weights);
    EXPECT_EQ(drawn(counts), std::set<size_t>(order.begin(), order.begin() + static_cast<int>(k)));
  }
  EXPECT_EQ(drawn(draw({.top_k = 50}, logits_of(kFive))).size(), 5u);
}

TEST(Sampler, TopKOfEqualOnesKeepsTheFirst) {
  EXPECT_EQ(drawn(draw({.top_k = 2}, {1, 1, 1, 1})), (std::set<size_t>{0, 1}));
}

TEST(Sampler, TopPKeepsTheFewestThatReachP) {
  const struct {
    float top_p;
    std::set<size_t> kept;
  } cases[] = {
      {0.01f, {0}},       {0.39f, {0}},         {0.41f, {0, 2}},          {0.69f, {0, 2}},
      {0.71f, {0, 2, 3}}, {0.9f, {0, 1, 2, 3}}, {0.96f, {0, 1, 2, 3, 4}}, {1, {0, 1, 2, 3, 4}}};
  for (const auto& c : cases) {
    const auto counts = draw({.top_p = c.top_p}, logits_of(kFive));
    EXPECT_EQ(drawn(counts), c.kept) << "top_p " << c.top_p;
    std::vector<double> weights(5);
    for (size_t id : c.kept) weights[id] = kFive[id];
    expect_frequencies(counts, weights);
  }
}

// What top_p and min_p keep, by sorting everything.
std::set<size_t> kept_by_sorting(const std::vector<float>& logits, float top_p, float min_p) {
  std::vector<std::pair<float, size_t>> sorted;  // weight, id
  const float best = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    sorted.emplace_back(std::exp(static_cast<double>(logits[i]) - best), i);
    total += sorted.back().first;
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::set<size_t> kept;
  double sum = 0;
  for (const auto& [weight, id] : sorted) {
    if (!kept.empty() && (sum >= top_p * total || weight < min_p)) break;
    sum += weight;
    kept.insert(id);
  }
  return kept;
}

// Candidates are sorted only as far as needed: whether heavy ones, light ones or all are.
TEST(Sampler, CutsAreThoseOfAFullSort) {
  Rng rng(11);
  for (double spread : {-1.0, 0.0, 0.5, 3.0, 12.0}) {
    std::vector<float> logits(60);
    for (float& x : logits) x = static_cast<float>(spread * rng.uniform());
    if (spread < 0) {  // one heavy, and many light ones that are needed to reach top_p
      std::fill(logits.begin(), logits.end(), std::log(0.01f));
      logits[20] = 0;
    }
    logits[7] = logits[8];  // equal weights go by id
    for (const auto& [top_p, min_p] :
         {std::pair(0.05f, 0.0f), {0.5f, 0.0f}, {0.9f, 0.0f}, {0.99f, 0.01f}, {1.0f, 0.2f}}) {
      EXPECT_EQ(drawn(draw({.top_p = top_p, .min_p = min_p}, logits)),
                kept_by_sorting(logits, top_p, min_p))
          << "spread " << spread << ", top_p " << top_p << ", min_p " << min_p;
    }
  }
}

// A vocabulary of many blocks, the last of them not full; almost all of the weight is in tokens
// that differ in block and in magnitude.
TEST(Sampler, FrequenciesInAVocabularyOfManyBlocks) {
  std::vector<float> logits(5003, -60.0f);
  const std::vector<size_t> heavy = {0, 255, 256, 1111, 2560, 4999, 5002};
  std::vector<double> weights(logits.size());
  for (size_t i = 0; i < heavy.size(); ++i) {
    logits[heavy[i]] = static_cast<float>(i) * 0.5f;
    weights[heavy[i]] = std::exp(0.5 * static_cast<double>(i));
  }
  logits[300] = std::nanf("");
  expect_frequencies(draw({}, logits), weights);
  EXPECT_EQ(drawn(draw({.top_k = 3}, logits)), (std::set<size_t>{2560, 4999, 5002}));
  EXPECT_EQ(drawn(draw({.min_p = 0.2f}, logits)), (std::set<size_t>{1111, 2560, 4999, 5002}));
}

// The tables round the exponential differently, by units in the last place.
TEST(Sampler, EveryKernelTableDrawsTheSameDistribution) {
  for (std::string_view name : available_kernel_names(cpu_features())) {
    const KernelTable kernels = select_kernels(name, cpu_features());
    Sampler sampler({.seed = 5}, kEight.size(),
                    std::make_shared<SamplerMemory>(kEight.size(), &kernels));
    std::vector<size_t> counts(kEight.size());
    for (size_t i = 0; i < kDraws; ++i) {
      ++counts[static_cast<size_t>(sampler.sample(logits_of(kEight), {}, {}))];
    }
    expect_frequencies(counts, kEight);
  }
}

TEST(Sampler, MinPKeepsThoseNearTheBest) {
  const struct {
    float min_p;
    std::set<size_t> kept;
  } cases[] = {{0, {0, 1, 2, 3, 4}},
               {0.12f, {0, 1, 2, 3, 4}},
               {0.13f, {0, 1, 2, 3}},
               {0.3f, {0, 2, 3}},
               {0.5f, {0, 2}},
               {0.8f, {0}},
               {1, {0}}};
  for (const auto& c : cases) {
    EXPECT_EQ(drawn(draw({.min_p = c.min_p}, logits_of(kFive))), c.kept) << "min_p " << c.min_p;
  }
}

TEST(Sampler, CutsApplyOneAfterTheOther) {
  // Of the two that top_k leaves, the first has 4/7 = 0.57.
  EXPECT_EQ(drawn(draw({.top_k = 2, .top_p = 0.5f}, logits_of(kFive))), (std::set<size_t>{0}));
  EXPECT_EQ(drawn(draw({.top_k = 2, .top_p = 0.6f}, logits_of(kFive))), (std::set<size_t>{0, 2}));
  // Temperature comes first: at 0.5 the probabilities are 16, 1, 9, 2.25, 0.25 of 28.5.
  EXPECT_EQ(drawn(draw({.temperature = 0.5f, .top_p = 0.55f}, logits_of(kFive))),
            (std::set<size_t>{0}));
  EXPECT_EQ(drawn(draw({.temperature = 0.5f, .min_p = 0.2f}, logits_of(kFive))),
            (std::set<size_t>{0, 2}));
  EXPECT_EQ(drawn(draw({.top_p = 0.9f, .min_p = 0.5f}, logits_of(kFive))),
            (std::set<size_t>{0, 2}));
}

TEST(Sampler, RepetitionPenaltyOnceForPromptAndAnswer) {
  const std::vector<float> logits = {2, -1, 0.5f, 1, -0.5f};
  const auto counts = draw({.repetition_penalty = 2}, logits, {0, 1, 0}, {1, 3, 3});
  std::vector<double> weights;
  for (double score : {1.0, -2.0, 0.5, 0.5, -0.5}) weights.push_back(std::exp(score));
  expect_frequencies(counts, weights);
}

TEST(Sampler, PresenceAndFrequencyPenaltiesOverTheAnswerOnly) {
  const std::vector<float> logits = {1, 1, 1, 1};
  SamplingOptions options{.presence_penalty = 0.5f, .frequency_penalty = 0.25f};
  const auto counts = draw(options, logits, {0, 0, 1}, {1, 2, 2, 2});
  expect_frequencies(counts, {1, std::exp(-0.75), std::exp(-1.25), 1});
  options.presence_penalty = -0.5f;
  options.frequency_penalty = 0;
  expect_frequencies(draw(options, logits, {0}, {2, 2}), {1, 1, std::exp(0.5), 1});
}

TEST(Sampler, PenaltiesDoNotCarryOverToTheNextChoice) {
  Sampler sampler({.temperature = 0, .frequency_penalty = 1}, 3);
  const std::vector<float> logits = {1, 0.5f, 0};
  EXPECT_EQ(sampler.sample(logits, {}, std::vector<TokenId>{0}), 1);
  EXPECT_EQ(sampler.sample(logits, {}, {}), 0);
  EXPECT_EQ(sampler.sample(logits, {}, std::vector<TokenId>{0, 0, 1}), 2);
}

TEST(Sampler, LogitBiasShiftsAndBans) {
  SamplingOptions options;
  options.logit_bias = {{1, 1.0f}, {3, -100.0f}, {1, 0.5f}};
  expect_frequencies(draw(options, {0, 0, 0, 0}), {1, std::exp(1.5), 1, 0});
  options.temperature = 0;
  Sampler greedy(options, 4);
  EXPECT_EQ(greedy.sample(std::vector<float>{1, 0, 0, 50}, {}, {}), 1);
}

TEST(Sampler, ImpossibleTokensAreNeverDrawn) {
  const float none = -std::numeric_limits<float>::infinity();
  expect_frequencies(draw({}, {none, 0, none, 0, none}), {0, 1, 0, 1, 0});
  expect_frequencies(draw({.top_k = 4, .top_p = 0.999f}, {none, 0, none, none}), {0, 1, 0, 0});
}

TEST(Sampler, MaskedTokensAreNeverChosen) {
  const std::vector<float> logits = logits_of(kEight);
  const std::vector<uint32_t> mask = {0b10101010};
  Sampler greedy({.temperature = 0}, logits.size());
  EXPECT_EQ(greedy.sample(logits, {}, {}, mask), 5);  // the largest of 1, 3, 5, 7
  Sampler sampler({.top_p = 0.99f, .seed = 3}, logits.size());
  std::vector<int> counts(8);
  for (int i = 0; i < 2000; ++i)
    ++counts[static_cast<size_t>(sampler.sample(logits, {}, {}, mask))];
  for (size_t i = 0; i < 8; i += 2) EXPECT_EQ(counts[i], 0);
  for (size_t i = 1; i < 8; i += 2) EXPECT_GT(counts[i], 0);
  // Where bias forbids all that the mask allows, the mask holds.
  const float none = -std::numeric_limits<float>::infinity();
  for (float temperature : {0.0f, 1.0f}) {
    Sampler torn({.temperature = temperature, .logit_bias = {{6, none}}}, logits.size());
    EXPECT_EQ(torn.sample(logits, {}, {}, std::vector<uint32_t>{1u << 6}), 6);
  }
  EXPECT_EQ(greedy.sample(std::vector<float>(8, std::nanf("")), {}, {}, mask), 1);
}

TEST(Sampler, LargestOfMany) {
  for (size_t n : {1u, 31u, 32u, 33u, 100u}) {
    for (size_t at = 0; at < n; ++at) {
      std::vector<float> x(n, -2);
      x[at] = -1;
      EXPECT_EQ(index_of_max(x), at);
      if (at + 1 < n) x[at + 1] = -1;
      EXPECT_EQ(index_of_max(x), at);  // of equal ones the first
      x[0] = std::nanf("");
      if (at) {
        EXPECT_EQ(index_of_max(x), at);
      }
    }
  }
}

TEST(Sampler, SharedMemoryDoesNotMixStreams) {
  const std::vector<float> logits = logits_of(kEight);
  const SamplingOptions options{.top_p = 0.9f, .frequency_penalty = 0.5f, .seed = 4};
  const auto memory = std::make_shared<SamplerMemory>(logits.size());
  Sampler a(options, logits.size(), memory), b(options, logits.size(), memory);
  Sampler alone(options, logits.size());
  std::vector<TokenId> answer;
  for (int i = 0; i < 100; ++i) {
    const TokenId id = alone.sample(logits, {}, answer);
    EXPECT_EQ(a.sample(logits, {}, answer), id);
    EXPECT_EQ(b.sample(logits, {}, answer), id);
    answer.push_back(id);
  }
}

TEST(Sampler, SameSeedSameChoices) {
  const std::vector<float> logits = logits_of(kEight);
  const auto series = [&](uint64_t seed) {
    Sampler sampler({.top_p = 0.9f, .seed = seed}, logits.size());
    std::vector<TokenId> ids;
    for (int i = 0; i < 100; ++i) ids.push_back(sampler.sample(logits, {}, ids));
    return ids;
  };
  EXPECT_EQ(series(7), series(7));
  EXPECT_NE(series(7), series(8));
  EXPECT_NE(series(0), series(uint64_t{1} << 63));
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  const float nan = std::nanf("");
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<std::pair<std::string, SamplingOptions>> cases;
  for (float v : {-0.1f, nan, inf}) cases.push_back({"temperature", {.temperature = v}});
  cases.push_back({"top_k", {.top_k = -1}});
  for (float v : {0.0f, -1.0f, 1.01f, nan}) cases.push_back({"top_p", {.top_p = v}});
  for (float v : {-0.1f, 1.1f, nan}) cases.push_back({"min_p", {.min_p = v}});
  for (float v : {0.0f, -1.0f, nan, inf}) {
    cases.push_back({"repetition_penalty", {.repetition_penalty = v}});
  }
  for (float v : {-2.1f, 2.1f, nan}) {
    cases.push_back({"presence_penalty", {.presence_penalty = v}});
    cases.push_back({"frequency_penalty", {.frequency_penalty = v}});
  }
  for (TokenId id : {-1, 5}) {
    SamplingOptions options;
    options.logit_bias = {{id, 1.0f}};
    cases.push_back({"logit_bias", options});
  }
  SamplingOptions bad_bias;
  bad_bias.logit_bias = {{0, nan}};
  cases.push_back({"logit_bias", bad_bias});
  for (const auto& [name, options] : cases) {
    try {
      Sampler sampler(options, 5);
      ADD_FAILURE() << name << " was taken";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(name));
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    }
  }
  EXPECT_NO_THROW(check_sampling_options({}, 1));
  printf("[ cases ] sampling options out of range: %zu\n", cases.size());
}

TEST(Logprobs, AreTheNormalisedDistribution) {
  const std::vector<float> logits = logits_of(kEight);
  for (size_t i = 0; i < kEight.size(); ++i) {
    EXPECT_NEAR(logprob_of(logits, static_cast<TokenId>(i)), std::log(kEight[i]), 1e-6);
  }
  const std::vector<TokenLogprob> top = top_logprobs(logits, 4);
  ASSERT_EQ(top.size(), 4u);
  EXPECT_EQ(top[0].id, 0);
  EXPECT_EQ(top[1].id, 2);
  EXPECT_EQ(top[2].id, 4);
  EXPECT_EQ(top[3].id, 5);  // equal to 7: the lower id first
  EXPECT_NEAR(top[2].logprob, std::log(0.15), 1e-6);
  EXPECT_EQ(top_logprobs(logits, 100).size(), kEight.size());
  EXPECT_TRUE(top_logprobs(logits, 0).empty());
}

TEST(Logprobs, LargeLogitsDoNotOverflow) {
  const std::vector<float> logits = {3e4f, 3e4f, -3e4f};
  EXPECT_NEAR(logprob_of(logits, 1), -std::log(2), 1e-6);
  EXPECT_NEAR(logprob_of(logits, 2), -6e4 - std::log(2), 4e-3);  // an ulp
}

}  // namespace
}  // namespace axk1
