// Speed of a training step, as a share of what the machine can do at most.
#pragma once

#include <functional>
#include <vector>

#include "bench/bench_row.h"
#include "bench/roofline.h"
#include "model/config.h"

namespace axk1 {

struct TrainBenchOptions {
  size_t rows = 8, row_length = 512;  // of a micro-batch; each row is one document
  std::vector<DType> compute = {DType::kF32, DType::kBF16};
  size_t num_samples = 5;
};

// Operations of forward and backward for one token: 2 for each parameter that it is multiplied by
// and 4 more on the way back, and likewise for attention over half a row. What backward computes a
// second time is not counted.
double train_flops_per_token(const ModelConfig& config, size_t row_length);

// Random weights, random ids. A sample is forward and backward of one micro-batch ("train bf16",
// without the optimiser), or one step of AdamW ("train AdamW", against memory bandwidth).
std::vector<BenchRow> bench_train(const ModelConfig& config, const KernelTable& kernels,
                                  ThreadPool& pool, const Roofs& roofs,
                                  const TrainBenchOptions& options,
                                  const std::function<void(size_t, size_t)>& step = {});

}  // namespace axk1
