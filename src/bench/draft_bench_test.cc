#include "bench/draft_bench.h"

#include <gtest/gtest.h>

#include "testing/tiny_config.h"

namespace axk1 {
namespace {

TEST(DraftBench, AnswersTheSameTokensWithEveryKindOfDrafts) {
  const ModelConfig config = testing::tiny_config(R"({"num_nextn_predict_layers": 1})");
  Engine engine(config, random_weights(config, DType::kF32, 3), {.num_threads = 1});
  std::vector<DraftRequest> requests(3);
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt = {1, 2, static_cast<TokenId>(3 + i)};
    requests[i].generate.max_tokens = 20;
    requests[i].generate.ignore_eos = true;
    requests[i].generate.sampling.temperature = 0;
  }
  const auto rows = bench_drafts(engine, requests, {.num_samples = 2, .streams = 2});
  ASSERT_EQ(rows.size(), 5u);
  const char* names[] = {"none", "lookup", "mtp", "both", "mtp always"};
  for (size_t k = 0; k < rows.size(); ++k) {
    EXPECT_EQ(rows[k].name, names[k]);
    EXPECT_EQ(rows[k].tokens, 60u);
    EXPECT_EQ(rows[k].tokens_per_second.size(), 2u);
    EXPECT_LE(rows[k].accepted, rows[k].drafts);
    EXPECT_GT(rows[k].steps, 0u);
  }
  EXPECT_EQ(rows[0].drafts, 0u);
  EXPECT_GT(rows[2].drafts, 0u);
  EXPECT_GT(rows[4].drafts, 2 * rows[4].steps);  // four to a step, but at the end
  for (double speed_up : rows[0].speed_up) EXPECT_EQ(speed_up, 1);

  const ModelConfig plain = testing::tiny_config();
  Engine without(plain, random_weights(plain, DType::kF32, 3), {.num_threads = 1});
  EXPECT_EQ(bench_drafts(without, requests, {.num_samples = 1}).size(), 2u);
}

}  // namespace
}  // namespace axk1
