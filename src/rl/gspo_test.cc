#include "rl/gspo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "rl/packing.h"
#include "testing/tiny_config.h"
#include "train/graph.h"
#include "train/param_store.h"
#include "train/reference_ops.h"

namespace axk1 {
namespace {

TEST(Gspo, AdvantagesAreNormalisedInTheirGroup) {
  const std::vector<double> a = group_advantages(std::vector<double>{1, 0, 0, 1, 1, 0, 0, 0});
  const double spread = std::sqrt(3.0 / 8 * 5 / 8);
  EXPECT_NEAR(a[0], (1 - 3.0 / 8) / spread, 1e-12);
  EXPECT_NEAR(a[1], (0 - 3.0 / 8) / spread, 1e-12);
  EXPECT_NEAR(std::accumulate(a.begin(), a.end(), 0.0), 0, 1e-12);
  double squares = 0;
  for (double x : a) squares += x * x;
  EXPECT_NEAR(squares / 8, 1, 1e-12);
  EXPECT_THAT(group_advantages(std::vector<double>{0.1, 0.1, 0.1}), ::testing::Each(0.0));
}

TEST(Gspo, RatioIsTheGeometricMeanOverTokens) {
  const std::vector<double> now = {-1, -2, -3}, old = {-1.5, -2, -2.9};
  const GspoTerm term = gspo_term(2, now, old, {.clip_low = 0.5, .clip_high = 0.5});
  EXPECT_NEAR(term.ratio, std::exp((0.5 - 0.1) / 3), 1e-12);
  EXPECT_NEAR(term.objective, 2 * term.ratio, 1e-12);
  EXPECT_NEAR(term.slope, 2 * term.ratio / 3, 1e-12);
  EXPECT_FALSE(term.clipped);
  EXPECT_EQ(gspo_term(2, now, now, {}).ratio, 1);
}

// The gradient goes where moving further would be rewarded beyond the range, and only there.
TEST(Gspo, ClipsOnTheSideThatIsTooGood) {
  const GspoOptions options{.clip_low = 0.1, .clip_high = 0.2};
  const std::vector<double> old = {-1, -1}, up = {-0.7, -0.7}, down = {-1.3, -1.3};
  struct Case {
    const std::vector<double>& now;
    double advantage;
    bool clipped;
    double objective;
  };
  const double high = std::exp(0.3), low = std::exp(-0.3);
  const Case cases[] = {
      {up, 1, true, 1.2}, {down, 1, false, low}, {up, -1, false, -high}, {down, -1, true, -0.9}};
  for (const Case& c : cases) {
    const GspoTerm term = gspo_term(c.advantage, c.now, old, options);
    EXPECT_EQ(term.clipped, c.clipped);
    EXPECT_NEAR(term.objective, c.objective, 1e-12);
    EXPECT_EQ(term.slope == 0, c.clipped);
  }
}

// The whole way in double: answers packed into batches, slopes as weights of targets, the graph
// backward; against central differences of the objective itself with respect to parameters.
TEST(Gspo, GradientsAreThoseOfFiniteDifferences) {
  const ParamStore store(testing::tiny_config(), {.seed = 3, .standard_deviation = 0.15});
  std::vector<double> params(store.values().begin(), store.values().end());
  const std::vector<std::vector<TokenId>> prompts = {{1, 2, 3}, {4, 5}},
                                          answers = {{7, 8, 9, 10}, {11, 12}, {13}, {14, 15, 16}};
  const std::vector<double> advantages = {1.2, -0.7, 0.4, -0.9};
  std::vector<PromptAndAnswer> sequences;
  for (size_t i = 0; i < answers.size(); ++i) sequences.push_back({prompts[i / 2], answers[i]});
  PackedAnswers packed = pack_answers(sequences, 1);
  ASSERT_GT(packed.batches.size(), 1u);

  std::vector<double> gradients(params.size());
  ReferenceOps<double> ops(params.data(), gradients.data());
  const auto logprobs_of = [&](Graph<ReferenceOps<double>>& graph, size_t b) {
    graph.run(packed.batches[b], store.router_biases(), 0, false);
    std::vector<std::vector<double>> all(answers.size());
    for (size_t i = 0; i < answers.size(); ++i) {
      const PackedAnswers::Place& place = packed.places[i];
      if (place.batch != b) continue;
      for (size_t t = 0; t < place.count; ++t) {
        all[i].push_back(-graph.token_losses()[place.first + t].text);
      }
    }
    return all;
  };
  // When drawn, tokens were a little more or less likely. The second answer is out of range on the
  // side where it still has a gradient, the last on the side where it has none.
  const GspoOptions options{.clip_low = 0.1, .clip_high = 0.1};
  const double shift[] = {0.05, -0.2, -0.03, 0.3};
  std::vector<std::vector<double>> old(answers.size());
  std::vector<std::unique_ptr<Graph<ReferenceOps<double>>>> graphs;
  for (size_t b = 0; b < packed.batches.size(); ++b) {
    graphs.push_back(std::make_unique<Graph<ReferenceOps<double>>>(store.layout(), ops, 0));
    const auto now = logprobs_of(*graphs[b], b);
    graphs[b]->keep_choices(true);
    for (size_t i = 0; i < now.size(); ++i) {
      if (now[i].empty()) continue;
      old[i] = now[i];
      for (size_t t = 0; t < old[i].size(); ++t) {
        old[i][t] += shift[i] + 0.01 * static_cast<double>(t);
      }
    }
  }
  size_t clipped = 0;
  const auto objective = [&](bool note) {
    double sum = 0;
    for (size_t b = 0; b < packed.batches.size(); ++b) {
      const auto now = logprobs_of(*graphs[b], b);
      for (size_t i = 0; i < now.size(); ++i) {
        if (now[i].empty()) continue;
        const GspoTerm term = gspo_term(advantages[i], now[i], old[i], options);
        sum += term.objective / static_cast<double>(answers.size());
        if (!note) continue;
        clipped += term.clipped;
        const PackedAnswers::Place& place = packed.places[i];
        std::fill_n(packed.batches[b].weights.begin() + static_cast<ptrdiff_t>(place.first),
                    place.count, static_cast<float>(term.slope));
      }
    }
    return sum;
  };
  objective(true);
  EXPECT_EQ(clipped, 1u);
  for (size_t b = 0; b < packed.batches.size(); ++b) {
    graphs[b]->run(packed.batches[b], store.router_biases(),
                   1 / static_cast<double>(answers.size()), true);
  }
  // Weights of targets are f32: 6e-8 of each slope.
  size_t compared = 0;
  double largest = 0;
  for (size_t i = 5; i < params.size(); i += params.size() / 150) {
    constexpr double kStep = 1e-5;
    const double kept = params[i];
    params[i] = kept + kStep;
    const double up = objective(false);
    params[i] = kept - kStep;
    const double down = objective(false);
    params[i] = kept;
    EXPECT_NEAR(-gradients[i], (up - down) / (2 * kStep), 1e-7) << "parameter " << i;
    largest = std::max(largest, std::abs(gradients[i]));
    ++compared;
  }
  EXPECT_GT(largest, 1e-3);
  printf("[ cases ] gradients of GSPO: %zu\n", compared);
}

TEST(Packing, SequencesStandWholeInRows) {
  const std::vector<TokenId> p = {1, 2, 3}, q = {4}, a = {5, 6, 7}, b = {8}, c = {9, 10};
  const std::vector<PromptAndAnswer> sequences = {{p, a}, {q, b}, {q, c}, {p, c}};
  const PackedAnswers packed = pack_answers(sequences, 2);
  // Lengths 5, 1, 2, 4: rows of 5 hold the first; the next two; the last.
  ASSERT_EQ(packed.batches.size(), 2u);
  EXPECT_EQ(packed.batches[0].rows, 2u);
  EXPECT_EQ(packed.batches[0].row_length, 5u);
  EXPECT_THAT(packed.batches[0].inputs, ::testing::ElementsAre(1, 2, 3, 5, 6, 4, 4, 9, 0, 0));
  EXPECT_THAT(packed.batches[0].targets, ::testing::ElementsAre(-1, -1, 5, 6, 7, 8, 9, 10, -1, -1));
  EXPECT_THAT(packed.batches[0].positions, ::testing::ElementsAre(0, 1, 2, 3, 4, 0, 0, 1, 0, 1));
  EXPECT_THAT(packed.batches[1].targets, ::testing::ElementsAre(-1, -1, 9, 10, -1));
  for (size_t i = 0; i < sequences.size(); ++i) {
    const PackedAnswers::Place& place = packed.places[i];
    ASSERT_EQ(place.count, sequences[i].answer.size());
    for (size_t t = 0; t < place.count; ++t) {
      EXPECT_EQ(packed.batches[place.batch].targets[place.first + t], sequences[i].answer[t]);
    }
  }
  EXPECT_TRUE(pack_answers({}, 2).batches.empty());
}

}  // namespace
}  // namespace axk1
