#include "bench/attention_bench.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/rng.h"
#include "base/text.h"
#include "bench/sampling.h"
#include "model/forward.h"
#include "ops/mla.h"

namespace axk1 {
namespace {

constexpr size_t kLayers = 8;  // 134 MB of kv_b at the released sizes

// Uniform in [-limit, limit].
void fill_random(Rng& rng, float limit, float* x, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    x[i] = limit * (static_cast<float>(rng.next() >> 40) * 0x1p-23f - 1);
  }
}

// The cache of every layer in one type, filled to a depth.
class LayerCaches {
 public:
  LayerCaches(const KernelTable& kernels, const MlaShape& shape, CacheDType dtype, size_t depth)
      : memory_(kLayers * ceil_blocks(depth) * block_bytes(shape, dtype)), blocks_(kLayers) {
    const size_t row_bytes = latent_row_bytes(dtype, shape.latent());
    Rng rng(depth);
    std::vector<float> x(shape.latent_dim());
    char* row = memory_.as<char>();
    for (std::vector<const void*>& blocks : blocks_) {
      for (size_t b = 0; b < ceil_blocks(depth); ++b) {
        blocks.push_back(row);
        for (size_t i = 0; i < kLatentBlockTokens; ++i, row += row_bytes) {
          fill_random(rng, 1.7f, x.data(), x.size());
          write_latent_row(kernels, dtype, shape.latent(), x.data(), row);
        }
      }
    }
  }
  const void* const* blocks(size_t layer) const { return blocks_[layer].data(); }

 private:
  static size_t ceil_blocks(size_t depth) {
    return (depth + kLatentBlockTokens - 1) / kLatentBlockTokens;
  }
  static size_t block_bytes(const MlaShape& shape, CacheDType dtype) {
    return kLatentBlockTokens * latent_row_bytes(dtype, shape.latent());
  }
  Buffer memory_;
  std::vector<std::vector<const void*>> blocks_;
};

double dot_gflops(const Roofs& roofs, CacheDType dtype) {
  if (dtype == CacheDType::kBF16) return roofs.best_bf16_gflops();
  if (dtype == CacheDType::kI8) return roofs.best_int8_gops();
  return roofs.fma_f32_gflops;
}

struct Case {
  MeteredRow metered;
  CacheDType dtype;
  size_t depth;
  Mla* mla;
  LayerCaches* caches;
};

}  // namespace

std::vector<BenchRow> bench_attention(const ModelConfig& config, const KernelTable& kernels,
                                      ThreadPool& pool, const Roofs& roofs,
                                      const AttentionBenchOptions& options,
                                      const std::function<void(size_t, size_t)>& step) {
  const MlaShape shape = mla_shape(config);
  const OpContext ctx{kernels, pool};
  const auto scale = static_cast<float>(config.softmax_scale());
  Rng rng(1);

  // Entries of kv_b as of a trained projection, so that keys are about as large as latents.
  const size_t kv_b_rows = shape.num_heads * shape.kv_head_dim();
  const size_t kv_b_elements = kv_b_rows * shape.kv_lora_rank;
  Buffer kv_b(kLayers * kv_b_elements * sizeof(uint16_t));
  std::vector<float> line(shape.kv_lora_rank);
  for (size_t i = 0; i < kLayers * kv_b_rows; ++i) {
    fill_random(rng, 1.7f / std::sqrt(static_cast<float>(line.size())), line.data(), line.size());
    kernels.f32_to_bf16(line.data(), kv_b.as<uint16_t>() + i * line.size(), line.size());
  }
  std::vector<float> q(shape.num_heads * shape.qk_head_dim());
  fill_random(rng, 1.7f, q.data(), q.size());
  std::vector<float> out(shape.num_heads * shape.v_head_dim);

  std::vector<std::unique_ptr<Mla>> ops;
  std::vector<std::unique_ptr<LayerCaches>> caches;
  std::vector<Case> cases;
  for (CacheDType dtype : options.cache_dtypes) {
    ops.push_back(std::make_unique<Mla>(shape, scale, dtype, 1, pool.num_threads()));
    for (size_t depth : options.depths) {
      caches.push_back(std::make_unique<LayerCaches>(kernels, shape, dtype, depth));
      Case& c = cases.emplace_back();
      c.dtype = dtype;
      c.depth = depth;
      c.mla = ops.back().get();
      c.caches = caches.back().get();
      BenchRow& row = c.metered.row;
      row.suite = "attention";
      row.name = cat("attention ", depth, ", ", cache_dtype_name(dtype), " cache");
      row.unit = "ms/layer";
      row.bytes = static_cast<double>(depth * latent_row_bytes(dtype, shape.latent()));
      row.flops = 2.0 * static_cast<double>(depth * shape.num_heads *
                                            (shape.latent_dim() + shape.kv_lora_rank));
      row.kernel = kernels.name;
      c.metered.compute_seconds = row.flops / (dot_gflops(roofs, dtype) * 1e9);
    }
  }
  if (cases.empty()) return {};
  MeteredRow fixed;
  fixed.row = {.suite = "attention",
               .name = "attention, fixed part",
               .unit = "ms/layer",
               .bytes = static_cast<double>(kv_b_elements * sizeof(uint16_t)),
               .flops = 2.0 * static_cast<double>(kv_b_elements),
               .kernel = kernels.name};
  fixed.compute_seconds = fixed.row.flops / (roofs.fma_f32_gflops * 1e9);

  // Seconds of one layer at `depth`: all layers, again and again.
  const auto measure = [&](const Case& c, size_t depth, double least_seconds) {
    const double seconds = seconds_each(least_seconds, [&] {
      for (size_t layer = 0; layer < kLayers; ++layer) {
        const MatrixView w{.data = kv_b.as<uint16_t>() + layer * kv_b_elements,
                           .dtype = DType::kBF16,
                           .rows = kv_b_rows,
                           .cols = shape.kv_lora_rank,
                           .stride = shape.kv_lora_rank};
        const MlaRows rows{.q = q.data(),
                           .out = out.data(),
                           .num_rows = 1,
                           .first_position = depth - 1,
                           .blocks = c.caches->blocks(layer)};
        c.mla->run(ctx, {&rows, 1}, w, MlaForm::kAbsorbed);
      }
    });
    return seconds / kLayers;
  };

  sample_in_turn(pool, cases, options.num_samples, step, [&](Case& c) {
    measure(c, 1, 0);  // refills the caches that the probe emptied
    const double base = measure(c, 1, options.seconds_per_sample / 4);
    const double added = std::max(measure(c, c.depth, options.seconds_per_sample) - base, 1e-9);
    return [&, base, added](double read_gb_per_s) {
      fixed.add_sample(base * 1e3, base, read_gb_per_s);
      c.metered.add_sample(added * 1e3, added, read_gb_per_s);
    };
  });
  std::vector<BenchRow> rows = {fixed.finish()};
  for (Case& c : cases) rows.push_back(c.metered.finish());
  return rows;
}

}  // namespace axk1
