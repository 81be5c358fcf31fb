#include "bench/expert_bench.h"

#include <gtest/gtest.h>

#include "kernels/registry.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

constexpr Roofs kRoofs{.read_gb_per_s = 10, .fma_f32_gflops = 100, .dot_bf16_gflops = 200};

// By hand, of golden case g2: every token meets top_k routed experts and the shared one; one token
// reads just those.
TEST(ExpertBench, CountsOperationsAndBytes) {
  const ModelConfig c = load_model_config(testing::testdata("golden/g2-fused-bias"));
  ThreadPool pool(2);
  const KernelTable kernels = select_kernels("", cpu_features());
  const std::vector<BenchRow> rows = bench_experts(
      c, kernels, pool, kRoofs, {.tokens = {1, 5}, .num_samples = 2, .seconds_per_sample = 0});
  ASSERT_EQ(rows.size(), 2u);
  const auto expert = static_cast<double>(3 * c.hidden_size * c.moe_intermediate_size);
  const auto met = static_cast<double>(c.num_experts_per_tok + c.n_shared_experts);
  EXPECT_EQ(rows[0].name, "experts, 1 token");
  EXPECT_DOUBLE_EQ(rows[0].flops, 2 * met * expert);
  EXPECT_DOUBLE_EQ(rows[0].bytes, 2 * met * expert);  // two bytes a weight
  EXPECT_DOUBLE_EQ(rows[1].flops, 5 * rows[0].flops);
  EXPECT_GE(rows[1].bytes, rows[0].bytes);
  EXPECT_LE(rows[1].bytes,
            2 * expert * static_cast<double>(c.n_routed_experts + c.n_shared_experts));
  for (const BenchRow& row : rows) {
    EXPECT_EQ(row.samples.size(), 2u);
    EXPECT_GT(row.value, 0);
    EXPECT_GT(row.share_of_roof, 0);
  }
}

}  // namespace
}  // namespace axk1
