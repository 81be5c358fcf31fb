#include "bench/kernel_bench.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/error.h"

namespace axk1 {
namespace {

TEST(KernelBenchSlow, EveryEntryHasItsRowsAndReasons) {
  ThreadPool pool(2);
  Roofs roofs;
  roofs.read_l2_gb_per_s = 100;
  roofs.fma_f32_gflops = 200;
  size_t cases = 0, last = 0, total = 0;
  const std::vector<BenchRow> rows =
      bench_kernels("", cpu_features(), pool, roofs,
                    {.num_samples = 2, .seconds_per_sample = 0.001, .stream_bytes = 1 << 20},
                    [&](size_t done, size_t all) {
                      EXPECT_GT(done, last);
                      last = done;
                      total = all;
                    });
  EXPECT_EQ(last, total);
  for (const KernelChoice& choice : explain_kernels("", cpu_features())) {
    const auto is_mine = [&](const BenchRow& row) {
      return row.name == choice.entry || row.name.starts_with(choice.entry + ", ");
    };
    const auto count = std::ranges::count_if(rows, is_mine);
    const bool twice =
        choice.entry.starts_with("matmul_nt") || choice.entry.starts_with("matmul_q");
    EXPECT_EQ(count, twice ? 2 : 1) << choice.entry;
    for (const BenchRow& row : rows) {
      if (!is_mine(row)) continue;
      EXPECT_EQ(row.suite, "kernels");
      EXPECT_EQ(row.kernel, choice.table->name);
      EXPECT_EQ(row.passed_over.size(), choice.passed_over.size());
      EXPECT_EQ(row.samples.size(), 2u) << row.name;
      EXPECT_GT(row.value, 0) << row.name;
      EXPECT_GT(row.roof, 0) << row.name;
      EXPECT_GT(row.share_of_roof, 0) << row.name;
      ++cases;
    }
  }
  EXPECT_EQ(cases, rows.size());
  std::printf("[ cases ] kernels measured: %zu\n", cases);
}

TEST(KernelBenchSlow, AForcedTableIsTheOneMeasured) {
  ThreadPool pool(1);
  const std::vector<BenchRow> rows =
      bench_kernels("ref", cpu_features(), pool, Roofs(),
                    {.num_samples = 1, .seconds_per_sample = 0.001, .stream_bytes = 1 << 20});
  for (const BenchRow& row : rows) {
    EXPECT_EQ(row.kernel, "ref");
    EXPECT_EQ(row.passed_over.size(), all_kernel_tables().size() - 1);
  }
  EXPECT_THROW(bench_kernels("sse9", cpu_features(), pool, Roofs(), {}), Error);
}

}  // namespace
}  // namespace axk1
