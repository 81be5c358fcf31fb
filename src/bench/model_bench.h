// Speed of a whole model, as a share of what the machine can do at most.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/roofline.h"
#include "engine/engine.h"

namespace axk1 {

// One figure. `share_of_roof` is the median over samples of (roof time / measured time), each
// against the roof probed beside it.
struct BenchRow {
  std::string suite;  // prefill | decode | kernels
  std::string name;
  double value = 0;  // median
  std::string unit;  // tok/s
  double bytes = 0;  // of weights and cache read by one step
  double flops = 0;  // of one step
  std::string roof_name;
  double roof = 0;  // in roof_unit
  std::string roof_unit;
  double achieved = 0;  // in roof_unit
  double share_of_roof = 0;
  std::vector<double> samples;  // in `unit`, in the order taken
  std::string kernel;

  std::string kernel_needs;  // of single kernels: features that tell tables of one name apart
  // Of single kernels: better tables that were not taken, and why (kernels/registry.h).
  struct PassedOver {
    std::string kernel, reason;
  };
  std::vector<PassedOver> passed_over;
};

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
