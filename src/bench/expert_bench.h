// Speed of the experts of one layer, as a share of what the machine can do at most.
#pragma once

#include <functional>
#include <vector>

#include "bench/bench_row.h"
#include "bench/roofline.h"
#include "model/config.h"
#include "tensor/dtype.h"

namespace axk1 {

struct ExpertBenchOptions {
  std::vector<size_t> tokens = {1, 4, 16, 64, 128, 512};  // computed together
  DType dtype = DType::kBF16;                             // of the weights
  size_t num_samples = 7;
  double seconds_per_sample = 0.25;  // a sample repeats its step until this has passed
};

// The routed and shared experts of one layer of `config`'s sizes with random weights, from the
// tokens' hidden states to their sums of outputs. `value` is milliseconds. Each step has tokens and
// experts of its own out of a few that take turns, top_k different ones for each token, all equally
// likely; bytes are those of the experts that a step reads, on average. `config` has a layer with
// experts. Throws Error(kOutOfMemory).
std::vector<BenchRow> bench_experts(const ModelConfig& config, const KernelTable& kernels,
                                    ThreadPool& pool, const Roofs& roofs,
                                    const ExpertBenchOptions& options,
                                    const std::function<void(size_t, size_t)>& step = {});

}  // namespace axk1
