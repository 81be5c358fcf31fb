// Speed of a whole model, as a share of what the machine can do at most.
#pragma once

#include <functional>
#include <vector>

#include "bench/bench_row.h"
#include "bench/roofline.h"
#include "engine/engine.h"

namespace axk1 {

struct ModelBenchOptions {
  std::vector<size_t> prefill_tokens = {128, 512};
  std::vector<size_t> decode_batches = {1, 4, 16};
  size_t depth = 64;  // positions that every decoding sequence already holds
  size_t num_samples = 7;
  double seconds_per_sample = 0.25;  // a sample repeats its step until this has passed
  bool run_prefill = true;
  bool run_decode = true;
};

// Samples of all figures are interleaved, so that a drift of the machine meets all of them alike.
// `step` is called after each sample with (samples done, samples in all).
std::vector<BenchRow> bench_model(Engine& engine, const Roofs& roofs,
                                  const ModelBenchOptions& options,
                                  const std::function<void(size_t, size_t)>& step = {});

// The sizes of the released A.X K1, cut to this many layers (0 of a kind: none of it) and, when
// num_routed_experts is not 0, to this many experts. Embedding and head are one matrix, to save
// memory: a step reads the head and a few rows of the embedding.
ModelConfig axk1_shape(size_t dense_layers, size_t moe_layers, size_t num_routed_experts);

}  // namespace axk1
