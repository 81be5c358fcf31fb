#include "bench/train_bench.h"

#include <chrono>
#include <memory>

#include "base/rng.h"
#include "bench/median.h"
#include "model/plan.h"
#include "train/optimizer.h"
#include "train/train_model.h"

namespace axk1 {
namespace {

template <class Body>
double seconds_of(Body&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TrainBatch random_documents(const ModelConfig& config, size_t rows, size_t row_length) {
  TrainBatch batch{.rows = rows, .row_length = row_length};
  Rng rng(1);
  for (size_t i = 0; i < rows * row_length; ++i) {
    const auto vocab = static_cast<uint64_t>(config.vocab_size);
    batch.inputs.push_back(static_cast<int32_t>(rng.next() % vocab));
    batch.targets.push_back(static_cast<int32_t>(rng.next() % vocab));
    batch.positions.push_back(static_cast<int32_t>(i % row_length));
  }
  return batch;
}

void finish(BenchRow& row) {
  row.value = median(row.samples);
  row.share_of_roof = row.achieved / row.roof;
}

}  // namespace

double train_flops_per_token(const ModelConfig& c, size_t row_length) {
  const auto parameters = static_cast<double>(count_parameters(c).read_per_token());
  const auto keys = (static_cast<double>(row_length) + 1) / 2;
  const auto attention = static_cast<double>(c.num_hidden_layers * c.num_attention_heads *
                                             (c.qk_head_dim() + c.v_head_dim));
  return 6 * (parameters + keys * attention);
}

std::vector<BenchRow> bench_train(const ModelConfig& config, const KernelTable& kernels,
                                  ThreadPool& pool, const Roofs& roofs,
                                  const TrainBenchOptions& options,
                                  const std::function<void(size_t, size_t)>& step) {
  ParamStore params(config, {.seed = 1});
  Gradients gradients(params.layout());
  const TrainBatch batch = random_documents(config, options.rows, options.row_length);
  const size_t tokens = options.rows * options.row_length;
  const double flops =
      train_flops_per_token(config, options.row_length) * static_cast<double>(tokens);

  std::vector<BenchRow> rows;
  std::vector<std::unique_ptr<TrainModel>> models;
  for (const DType compute : options.compute) {
    const bool bf16 = compute == DType::kBF16;
    rows.push_back({.suite = "train",
                    .name = cat("train ", options.rows, " x ", options.row_length, ", ",
                                bf16 ? "bf16" : "f32"),
                    .unit = "tok/s",
                    .flops = flops,
                    .roof_name = "arithmetic",
                    .roof = bf16 ? roofs.best_bf16_gflops() : roofs.fma_f32_gflops,
                    .roof_unit = "GFLOP/s",
                    .kernel = kernels.name});
    models.push_back(
        std::make_unique<TrainModel>(params, kernels, pool, TrainModelOptions{.compute = compute}));
    models.back()->forward_backward(batch, tokens, gradients);  // takes its memory
  }
  AdamW optimizer(params.layout(), {});
  BenchRow adamw{.suite = "train",
                 .name = "train AdamW",
                 .unit = "ms/step",
                 // Weights and both moments are read and written, gradients read.
                 .bytes = 7.0 * sizeof(float) * static_cast<double>(gradients.values().size()),
                 .roof_name = "memory_read",
                 .roof = roofs.read_gb_per_s,
                 .roof_unit = "GB/s",
                 .kernel = "plain"};
  const size_t total = options.num_samples * (rows.size() + 1);
  size_t done = 0;
  for (size_t sample = 0; sample < options.num_samples; ++sample) {
    for (size_t i = 0; i < rows.size(); ++i) {
      const double seconds =
          seconds_of([&] { models[i]->forward_backward(batch, tokens, gradients); });
      rows[i].samples.push_back(static_cast<double>(tokens) / seconds);
      if (step) step(++done, total);
    }
    const double seconds =
        seconds_of([&] { optimizer.step(pool, params, gradients.values(), 1e-6); });
    adamw.samples.push_back(seconds * 1e3);
    gradients.zero();
    if (step) step(++done, total);
  }
  for (BenchRow& row : rows) {
    row.achieved = median(row.samples) * flops / static_cast<double>(tokens) / 1e9;
    finish(row);
  }
  adamw.achieved = adamw.bytes / (median(adamw.samples) / 1e3) / 1e9;
  finish(adamw);
  rows.push_back(std::move(adamw));
  return rows;
}

}  // namespace axk1
