#include "bench/train_bench.h"

#include <gtest/gtest.h>

#include "kernels/registry.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

// By hand, of golden case g3: one product with each matrix, attention over 2.5 keys on average.
TEST(TrainBench, CountsOperations) {
  const ModelConfig c = load_model_config(testing::testdata("golden/g3-dense"));
  const int64_t heads = c.num_attention_heads, h = c.hidden_size;
  const int64_t matrices = c.q_lora_rank * h + heads * c.qk_head_dim() * c.q_lora_rank +
                           (c.kv_lora_rank + c.qk_rope_head_dim) * h +
                           heads * (c.qk_nope_head_dim + c.v_head_dim) * c.kv_lora_rank +
                           h * heads * c.v_head_dim + 3 * h * c.intermediate_size;
  const int64_t norms = 2 * h + c.q_lora_rank + c.kv_lora_rank;
  const double attention = 2.5 * static_cast<double>(heads * (c.qk_head_dim() + c.v_head_dim));
  const double expected = 6 * (static_cast<double>(c.num_hidden_layers) *
                                   (static_cast<double>(matrices + norms) + attention) +
                               static_cast<double>(c.vocab_size * h + h));
  EXPECT_DOUBLE_EQ(train_flops_per_token(c, 4), expected);
}

TEST(TrainBench, MeasuresEveryTypeAndTheOptimiser) {
  const ModelConfig config = load_model_config(testing::testdata("golden/g3-dense"));
  ThreadPool pool(2);
  const KernelTable kernels = select_kernels("", cpu_features());
  const Roofs roofs{.read_gb_per_s = 10, .fma_f32_gflops = 100, .dot_bf16_gflops = 200};
  const std::vector<BenchRow> rows =
      bench_train(config, kernels, pool, roofs, {.rows = 1, .row_length = 8, .num_samples = 2});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].name, "train 1 x 8, f32");
  EXPECT_EQ(rows[1].name, "train 1 x 8, bf16");
  EXPECT_EQ(rows[1].roof, 200);
  for (const BenchRow& row : rows) {
    EXPECT_EQ(row.samples.size(), 2u);
    EXPECT_GT(row.value, 0);
    EXPECT_DOUBLE_EQ(row.share_of_roof, row.achieved / row.roof);
  }
}

}  // namespace
}  // namespace axk1
