#include "bench/expert_bench.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/rng.h"
#include "base/text.h"
#include "bench/sampling.h"
#include "bench/work.h"
#include "model/forward.h"
#include "model/weights.h"
#include "ops/moe.h"

namespace axk1 {
namespace {

constexpr size_t kSteps = 4;  // different ones, in turn

// Hidden states of some tokens and the experts they go to.
struct Step {
  std::vector<float> x;
  std::vector<uint16_t> x16;
  std::vector<char> quantized;
  std::vector<int32_t> indices;
  std::vector<float> weights;
  size_t num_experts = 0;  // that are read

  Step(Rng& rng, const KernelTable& kernels, const MoeShape& shape, size_t tokens)
      : x(tokens * shape.hidden_size),
        x16(x.size()),
        quantized(tokens * activation_row_bytes(shape.hidden_size)),
        weights(tokens * shape.top_k, 1.0f / static_cast<float>(shape.top_k)) {
    for (float& value : x) value = static_cast<float>(rng.normal());
    kernels.f32_to_bf16(x.data(), x16.data(), x.size());
    std::set<int32_t> all;
    for (size_t t = 0; t < tokens; ++t) {
      kernels.quantize_row(x.data() + t * shape.hidden_size,
                           quantized.data() + t * activation_row_bytes(shape.hidden_size),
                           shape.hidden_size);
      std::set<int32_t> chosen;
      while (chosen.size() < shape.top_k) {
        chosen.insert(static_cast<int32_t>(rng.next() % shape.num_experts));
      }
      indices.insert(indices.end(), chosen.begin(), chosen.end());
      all.merge(chosen);
    }
    num_experts = all.size();
  }
};

struct Case {
  MeteredRow metered;
  size_t tokens = 0;
  std::vector<Step> steps;
};

// One MoE layer of these sizes, with a small vocabulary.
ModelConfig one_layer(ModelConfig config) {
  AXK1_CHECK(config.num_moe_layers() > 0);
  config.num_hidden_layers = 1;
  config.is_moe_layer = {true};
  config.num_nextn_predict_layers = 0;
  config.vocab_size = 256;
  return config;
}

}  // namespace

std::vector<BenchRow> bench_experts(const ModelConfig& full, const KernelTable& kernels,
                                    ThreadPool& pool, const Roofs& roofs,
                                    const ExpertBenchOptions& options,
                                    const std::function<void(size_t, size_t)>& step) {
  const ModelConfig config = one_layer(full);
  const ModelWeights model = random_weights(config, options.dtype, 1);
  const LayerWeights& layer = model.layers[0];
  const MoeShape shape = moe_shape(config);
  const bool quantized = is_quantized(options.dtype);
  const bool bf16 = model.compute_dtype == DType::kBF16;
  const size_t most =
      options.tokens.empty() ? 0 : *std::max_element(options.tokens.begin(), options.tokens.end());
  Moe moe(shape, model.compute_dtype, quantized, most);
  const OpContext ctx{kernels, pool};
  std::vector<float> out(most * shape.hidden_size);

  const ExpertWeights& routed = layer.experts[0];
  const ExpertWeights* const shared = layer.shared_experts.gate ? &layer.shared_experts : nullptr;
  const double shared_bytes = shared ? bytes_of(*shared) : 0;
  const double gops = quantized ? roofs.best_int8_gops()
                      : bf16    ? roofs.best_bf16_gflops()
                                : roofs.fma_f32_gflops;
  const double all_bytes = static_cast<double>(shape.num_experts) * bytes_of(routed) + shared_bytes;
  std::vector<Case> cases;
  for (const size_t tokens : options.tokens) {
    Case& c = cases.emplace_back();
    c.tokens = tokens;
    Rng rng(tokens);
    double read = 0;
    for (size_t i = 0; i < kSteps; ++i) {
      c.steps.emplace_back(rng, kernels, shape, tokens);
      read += static_cast<double>(c.steps.back().num_experts) / kSteps;
    }
    BenchRow& row = c.metered.row;
    row.suite = "experts";
    row.name = cat("experts, ", tokens, tokens == 1 ? " token" : " tokens");
    row.unit = "ms/layer";
    row.bytes = read * bytes_of(routed) + shared_bytes;
    row.flops =
        2 * static_cast<double>(tokens) *
        (static_cast<double>(shape.top_k) * elements(routed) + (shared ? elements(*shared) : 0));
    row.kernel = kernels.name;
    c.metered.compute_seconds = row.flops / (gops * 1e9);
    if (fits_l3(all_bytes)) c.metered.l3_gb_per_s = roofs.read_l3_gb_per_s;
  }

  const auto run = [&](const Case& c, const Step& s) {
    const void* plain = bf16 ? static_cast<const void*>(s.x16.data()) : s.x.data();
    moe.run(ctx, {.x = {plain, model.compute_dtype, quantized ? s.quantized.data() : nullptr,
                        shape.hidden_size},
                  .num_tokens = c.tokens,
                  .indices = s.indices,
                  .weights = s.weights,
                  .experts = layer.experts,
                  .shared = shared});
    pool.parallel_for(c.tokens, 1, [&](size_t begin, size_t end) {
      for (size_t t = begin; t < end; ++t) {
        moe.combine(kernels, t, out.data() + t * shape.hidden_size);
      }
    });
  };
  sample_in_turn(pool, cases, options.num_samples, step, [&](Case& c) {
    run(c, c.steps.back());  // refills the caches that the probe emptied
    const double seconds = seconds_each(options.seconds_per_sample,
                                        [&] {
                                          for (const Step& s : c.steps) run(c, s);
                                        }) /
                           kSteps;
    return [&c, seconds](double read_gb_per_s) {
      c.metered.add_sample(seconds * 1e3, seconds, read_gb_per_s);
    };
  });
  std::vector<BenchRow> rows;
  for (Case& c : cases) rows.push_back(c.metered.finish());
  return rows;
}

}  // namespace axk1
