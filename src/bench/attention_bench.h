// Speed of decode attention over a long cache, as a share of what the machine can do at most.
#pragma once

#include <functional>
#include <vector>

#include "bench/bench_row.h"
#include "bench/roofline.h"
#include "model/config.h"

namespace axk1 {

struct AttentionBenchOptions {
  std::vector<size_t> depths = {4096, 32768};  // positions the new token attends to
  std::vector<CacheDType> cache_dtypes = {CacheDType::kF32, CacheDType::kBF16, CacheDType::kI8};
  size_t num_samples = 7;
  double seconds_per_sample = 0.25;  // a sample repeats its layers until this has passed
};

// One new token of one sequence. `value` is milliseconds of one layer. The row "attention, fixed
// part" is all that does not depend on the depth: the products with kv_b (in bf16), read from
// memory. The rows of a depth are what attending to the cache adds to that: the time at that depth
// less the time at depth 1, taken one after the other in each sample. There are several layers,
// each with a kv_b and caches of its own, so that no layer finds its own still in a processor
// cache. Throws Error(kOutOfMemory).
std::vector<BenchRow> bench_attention(const ModelConfig& config, const KernelTable& kernels,
                                      ThreadPool& pool, const Roofs& roofs,
                                      const AttentionBenchOptions& options,
                                      const std::function<void(size_t, size_t)>& step = {});

}  // namespace axk1
