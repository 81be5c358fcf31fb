#include "bench/model_bench.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/rng.h"
#include "base/text.h"
#include "bench/sampling.h"
#include "bench/work.h"
#include "model/plan.h"

namespace axk1 {
namespace {

// Counts the routed experts that a step really reads.
class ExpertCounter : public ForwardObserver {
 public:
  bool needs_every_row() const override { return false; }
  void router(size_t, std::span<const float>, std::span<const int32_t> indices,
              std::span<const float>) override {
    num_experts += std::set<int32_t>(indices.begin(), indices.end()).size();
  }
  size_t num_experts = 0;  // summed over layers
};

// What one step must do at least: bytes from memory, and multiply-adds by the type that does them.
struct Work {
  double bytes = 0;
  double f32_flops = 0;   // projections of attention, router, head; all of an f32 model
  double bf16_flops = 0;  // of MLPs with bf16 weights in a bf16 model; attention to bf16
  double int8_flops = 0;  // of quantised weights; attention to an int8 cache
  double flops() const { return f32_flops + bf16_flops + int8_flops; }

  void multiply(const MatrixView& w, double rows, bool bf16) {
    double& kind = is_quantized(w.dtype) ? int8_flops : bf16 ? bf16_flops : f32_flops;
    kind += 2 * rows * elements(w);
  }
  void multiply(const ExpertWeights& w, double rows, bool bf16) {
    for (const MatrixView* m : {&w.gate, &w.up, &w.down}) multiply(*m, rows, bf16);
  }
  // Of the roof of each type, the best that the machine has.
  double compute_seconds(const Roofs& roofs) const {
    return (f32_flops / roofs.fma_f32_gflops + bf16_flops / roofs.best_bf16_gflops() +
            int8_flops / roofs.best_int8_gops()) /
           1e9;
  }
};

// `tokens` new tokens and `logit_rows` logits, each token attending to `context` positions on
// average; `experts_read` summed over layers.
Work work_of(Engine& engine, size_t sequences, size_t tokens, size_t logit_rows, double context,
             size_t experts_read) {
  const ModelConfig& c = engine.config();
  Work work;
  const bool bf16 = engine.weights().compute_dtype == DType::kBF16;
  for (const LayerWeights& w : engine.weights().layers) {
    // In the last layer only rows that get logits go beyond the latents.
    const bool last = &w == &engine.weights().layers.back();
    const auto t = static_cast<double>(last ? logit_rows : tokens);
    for (const MatrixView* m : {&w.q_proj, &w.q_a_proj, &w.q_b_proj, &w.kv_a_proj_with_mqa,
                                &w.kv_b_proj, &w.o_proj, &w.router}) {
      if (!*m) continue;
      work.bytes += bytes_of(*m);
      work.multiply(*m, m == &w.kv_a_proj_with_mqa ? static_cast<double>(tokens) : t, false);
    }
    const ExpertWeights& always = w.is_moe ? w.shared_experts : w.mlp;
    if (always.gate) {
      work.bytes += bytes_of(always);
      work.multiply(always, t, bf16);
    }
    if (w.is_moe) {
      work.multiply(w.experts[0], t * static_cast<double>(c.num_experts_per_tok), bf16);
    }
    // Scores and context over the latents (absorbed) or over keys and values (expanded): the
    // cheaper of the two for this many rows.
    const double lora = static_cast<double>(c.kv_lora_rank);
    const double absorbed = lora + lora + static_cast<double>(c.qk_rope_head_dim);
    const double expanded = static_cast<double>(c.qk_head_dim() + c.v_head_dim);
    const bool expands = engine.forward().mla_form(tokens / sequences) == MlaForm::kExpanded;
    const CacheDType cache = engine.forward().cache_dtype();
    double& kind = expands && !last             ? work.f32_flops
                   : cache == CacheDType::kBF16 ? work.bf16_flops
                   : cache == CacheDType::kI8   ? work.int8_flops
                                                : work.f32_flops;
    kind += 2 * t * context * static_cast<double>(c.num_attention_heads) *
            (expands && !last ? expanded : absorbed);
  }
  for (const LayerWeights& w : engine.weights().layers) {
    if (w.is_moe) {
      work.bytes += static_cast<double>(experts_read) * bytes_of(w.experts[0]);
      break;  // experts_read is the sum over layers
    }
  }
  work.bytes += static_cast<double>(sequences) * context *
                static_cast<double>(kv_bytes_per_token(c, engine.forward().cache_dtype()));
  work.bytes += bytes_of(engine.weights().lm_head);
  work.multiply(engine.weights().lm_head, static_cast<double>(logit_rows), false);
  return work;
}

// One figure being measured.
struct Case {
  MeteredRow metered;
  size_t tokens_per_step = 0;
  std::vector<std::vector<int32_t>> ids;  // of each sequence
  std::vector<KvCache> caches;
  std::vector<SequenceInput> batch;
  size_t depth = 0;
};

void run_step(Engine& engine, Case& c, ForwardObserver* observer = nullptr) {
  for (KvCache& cache : c.caches) cache.truncate(c.depth);
  engine.forward().run(c.batch, observer);
  engine.forward().logits(0, engine.forward().num_logit_rows());
}

// `sequences` of them, each `new_tokens` random ids after `depth` positions.
Case make_case(Engine& engine, const Roofs& roofs, size_t sequences, size_t new_tokens,
               size_t depth) {
  Case c;
  c.depth = depth;
  c.tokens_per_step = sequences * new_tokens;
  Rng rng(sequences * 1000003 + new_tokens);
  for (size_t s = 0; s < sequences; ++s) {
    std::vector<int32_t>& ids = c.ids.emplace_back();
    for (size_t i = 0; i < depth + new_tokens; ++i) {
      ids.push_back(static_cast<int32_t>(rng.next() % engine.vocab_size()));
    }
    c.caches.emplace_back(engine.config(), engine.forward().cache_dtype());
    c.caches.back().reserve(depth + new_tokens);
  }
  const size_t chunk = engine.forward().options().max_batch_tokens;
  for (size_t s = 0; s < sequences; ++s) {
    for (size_t at = 0; at < depth; at += chunk) {
      const SequenceInput fill{.tokens = {c.ids[s].data() + at, std::min(chunk, depth - at)},
                               .cache = &c.caches[s]};
      engine.forward().run({&fill, 1});
    }
    c.batch.push_back({.tokens = {c.ids[s].data() + depth, new_tokens}, .cache = &c.caches[s]});
  }
  ExpertCounter counter;
  run_step(engine, c, &counter);  // also warms up
  const double context = static_cast<double>(depth) + (static_cast<double>(new_tokens) + 1) / 2;
  const Work work =
      work_of(engine, sequences, c.tokens_per_step, sequences, context, counter.num_experts);
  c.metered.compute_seconds = work.compute_seconds(roofs);
  c.metered.row.unit = "tok/s";
  c.metered.row.bytes = work.bytes;
  c.metered.row.flops = work.flops();
  c.metered.row.kernel = engine.kernels().name;
  if (fits_l3(work.bytes)) c.metered.l3_gb_per_s = roofs.read_l3_gb_per_s;
  return c;
}

}  // namespace

std::vector<BenchRow> bench_model(Engine& engine, const Roofs& roofs,
                                  const ModelBenchOptions& options,
                                  const std::function<void(size_t, size_t)>& step) {
  std::vector<Case> cases;
  if (options.run_prefill) {
    for (size_t tokens : options.prefill_tokens) {
      if (tokens > engine.context_length() ||
          tokens > engine.forward().options().max_batch_tokens) {
        continue;
      }
      cases.push_back(make_case(engine, roofs, 1, tokens, 0));
      cases.back().metered.row.suite = "prefill";
      cases.back().metered.row.name = cat("prefill ", tokens);
    }
  }
  if (options.run_decode) {
    for (size_t sequences : options.decode_batches) {
      if (options.depth + 1 > engine.context_length()) continue;
      cases.push_back(make_case(engine, roofs, sequences, 1, options.depth));
      cases.back().metered.row.suite = "decode";
      cases.back().metered.row.name = cat(
          "decode ", sequences, sequences == 1 ? " stream" : " streams", ", depth ", options.depth);
    }
  }

  sample_in_turn(engine.pool(), cases, options.num_samples, step, [&](Case& c) {
    run_step(engine, c);  // refills the caches that the probe emptied
    const double seconds = seconds_each(options.seconds_per_sample, [&] { run_step(engine, c); });
    return [&c, seconds](double read_gb_per_s) {
      c.metered.add_sample(static_cast<double>(c.tokens_per_step) / seconds, seconds,
                           read_gb_per_s);
    };
  });
  std::vector<BenchRow> rows;
  for (Case& c : cases) rows.push_back(c.metered.finish());
  return rows;
}

ModelConfig axk1_shape(size_t dense_layers, size_t moe_layers, size_t num_routed_experts) {
  AXK1_CHECK(dense_layers + moe_layers > 0);
  ModelConfig c;
  c.model_type = "axk1";
  c.vocab_size = 163840;
  c.hidden_size = 7168;
  c.intermediate_size = 18432;
  c.moe_intermediate_size = 2048;
  c.num_hidden_layers = static_cast<int64_t>(dense_layers + moe_layers);
  c.num_attention_heads = 64;
  c.num_key_value_heads = 64;
  c.n_shared_experts = 1;
  c.n_routed_experts = num_routed_experts ? static_cast<int64_t>(num_routed_experts) : 192;
  c.num_experts_per_tok = std::min<int64_t>(8, c.n_routed_experts);
  c.kv_lora_rank = 512;
  c.q_lora_rank = 1536;
  c.qk_nope_head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.v_head_dim = 128;
  c.max_position_embeddings = 131072;
  c.routed_scaling_factor = 2.5;
  c.tie_word_embeddings = true;
  c.is_moe_layer.assign(dense_layers, false);
  c.is_moe_layer.resize(dense_layers + moe_layers, true);
  return c;
}

}  // namespace axk1
