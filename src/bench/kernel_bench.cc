#include "bench/kernel_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/bits.h"
#include "base/check.h"
#include "base/text.h"
#include "bench/median.h"
#include "tensor/buffer.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

using Clock = std::chrono::steady_clock;

// Sizes: a row is as long as A.X K1's hidden state.
constexpr size_t kColumns = 7168;
constexpr size_t kManyRows = 128, kManyOutputs = 256, kManyColumns = 2048;
constexpr size_t kInner = 512;      // of products with weights in the other order
constexpr size_t kRowsInCache = 4;  // of vectors
constexpr size_t kScores = 64;      // one block of attention

// Every two bytes the same: a bf16 or f16 of moderate size, and an f32 of two of them.
constexpr int kFillByte = 0x3c;

// A tile of attention at A.X K1's sizes: 64 rows against one span of a cache.
constexpr size_t kLatentRows = 64, kLora = 512, kRope = 64;

constexpr size_t latent_bytes(LatentTypes type) {
  return type == LatentTypes::kBF16 ? (kLora + kRope) * sizeof(uint16_t)
                                    : sizeof(Int8LatentHeader) + kLora + kRope;
}

struct ThreadData {
  Buffer weights;
  Buffer x, y, more;                // activations, results
  Buffer latents[kNumLatentTypes];  // kLatentSpan cache rows of each type
};

// One row being measured.
struct Case {
  BenchRow row;
  std::function<void(ThreadData&)> run;  // on every thread, one repetition
  double bytes = 0, flops = 0;           // of a repetition of one thread
  double roof = 0;                       // 1e9 a second, of all threads; 0: memory, probed
  bool by_flops = false;
  size_t repetitions = 1;
  std::vector<double> roofs, shares;
};

struct MatmulKind {
  DType x, w;
};
constexpr MatmulKind kMatmulKinds[kNumMatmulTypes] = {{DType::kF32, DType::kF32},
                                                      {DType::kF32, DType::kBF16},
                                                      {DType::kF32, DType::kF16},
                                                      {DType::kBF16, DType::kBF16}};
constexpr DType kQuantTypes[kNumQuantTypes] = {DType::kQ8, DType::kQ4, DType::kQ3};

class CaseList {
 public:
  CaseList(const KernelTable& kernels, const Roofs& roofs, size_t stream_bytes)
      : k_(kernels), roofs_(roofs), stream_bytes_(stream_bytes) {}

  std::vector<Case> cases;

  // The rows of one entry of the tables.
  void add(const KernelChoice& choice) {
    const size_t first = cases.size();
    for (size_t i = 0; i < kNumMatmulTypes; ++i) {
      if (choice.entry == cat("matmul_nt ", kKindNames[i])) matmul_nt(i);
      if (choice.entry == cat("matmul_nn ", kKindNames[i])) matmul_nn(i);
    }
    for (size_t i = 0; i < kNumQuantTypes; ++i) {
      if (choice.entry == cat("matmul_q ", kQuantNames[i])) matmul_q(i);
    }
    if (choice.entry == "latent bf16") latent(LatentTypes::kBF16, roofs_.best_bf16_gflops());
    if (choice.entry == "latent int8") latent(LatentTypes::kI8, roofs_.best_int8_gops());
    elementwise(choice.entry);
    if (cases.size() == first) cases.emplace_back();  // not measured, but listed
    for (size_t i = first; i < cases.size(); ++i) {
      BenchRow& row = cases[i].row;
      row.suite = "kernels";
      row.name = choice.entry + (row.name.empty() ? "" : ", " + row.name);
      row.kernel = choice.table->name;
      row.kernel_needs = cpu_feature_names(choice.table->needs);
      for (const auto& [table, reason] : choice.passed_over) {
        const std::string features = cpu_feature_names(table->needs);
        row.passed_over.push_back(
            {features == table->name ? features : cat(table->name, " (", features, ")"), reason});
      }
    }
  }

 private:
  static constexpr const char* kKindNames[kNumMatmulTypes] = {"f32 f32", "f32 bf16", "f32 f16",
                                                              "bf16 bf16"};
  static constexpr const char* kQuantNames[kNumQuantTypes] = {"q8", "q4", "q3"};

  void by_memory(std::string name, double bytes, double flops, auto run) {
    cases.push_back({.row = {.name = std::move(name), .roof_name = "memory read"},
                     .run = run,
                     .bytes = bytes,
                     .flops = flops});
  }
  void by_arithmetic(std::string name, double bytes, double flops, double roof, auto run) {
    cases.push_back({.row = {.name = std::move(name), .roof_name = "arithmetic"},
                     .run = run,
                     .bytes = bytes,
                     .flops = flops,
                     .roof = roof,
                     .by_flops = true});
  }
  void in_cache(double bytes, double flops, auto run) {
    cases.push_back({.row = {.roof_name = "L2 read"},
                     .run = run,
                     .bytes = bytes,
                     .flops = flops,
                     .roof = roofs_.read_l2_gb_per_s});
  }

  void matmul_nt(size_t type) {
    const MatmulKind kind = kMatmulKinds[type];
    const MatmulKernel kernel = k_.matmul_nt[type];
    const size_t rows = stream_bytes_ / (kColumns * dtype_bytes(kind.w));
    const double products = static_cast<double>(rows * kColumns);
    by_memory("1 row", products * static_cast<double>(dtype_bytes(kind.w)), 2 * products,
              [=](ThreadData& d) {
                kernel({.x = d.x.data(),
                        .x_stride = kColumns,
                        .w = d.weights.data(),
                        .w_stride = kColumns,
                        .y = d.y.as<float>(),
                        .y_stride = rows,
                        .m = 1,
                        .n = rows,
                        .k = kColumns});
              });
    const bool bf16 = kind.x == DType::kBF16;
    const double roof = bf16 ? roofs_.best_bf16_gflops() : roofs_.fma_f32_gflops;
    by_arithmetic(cat(kManyRows, " rows"),
                  static_cast<double>(kManyOutputs * kManyColumns * dtype_bytes(kind.w)),
                  2.0 * kManyRows * kManyOutputs * kManyColumns, roof, [=](ThreadData& d) {
                    kernel({.x = d.x.data(),
                            .x_stride = kManyColumns,
                            .w = d.weights.data(),
                            .w_stride = kManyColumns,
                            .y = d.y.as<float>(),
                            .y_stride = kManyOutputs,
                            .m = kManyRows,
                            .n = kManyOutputs,
                            .k = kManyColumns});
                  });
  }

  void matmul_nn(size_t type) {
    const MatmulKernel kernel = k_.matmul_nn[type];
    by_arithmetic(cat(kManyRows, " rows"),
                  static_cast<double>(kInner * kManyOutputs * dtype_bytes(kMatmulKinds[type].w)),
                  2.0 * kManyRows * kInner * kManyOutputs, roofs_.fma_f32_gflops,
                  [=](ThreadData& d) {
                    std::memset(d.y.data(), 0, kManyRows * kManyOutputs * sizeof(float));
                    kernel({.x = d.x.data(),
                            .x_stride = kInner,
                            .w = d.weights.data(),
                            .w_stride = kManyOutputs,
                            .y = d.y.as<float>(),
                            .y_stride = kManyOutputs,
                            .m = kManyRows,
                            .n = kManyOutputs,
                            .k = kInner});
                  });
  }

  void matmul_q(size_t type) {
    const DType dtype = kQuantTypes[type];
    const QuantMatmulKernel kernel = k_.matmul_q[type];
    const size_t panels = stream_bytes_ / panel_bytes(dtype, kColumns);
    const size_t rows = panels * kPanelRows;
    by_memory("1 row", static_cast<double>(panels * panel_bytes(dtype, kColumns)),
              2.0 * static_cast<double>(rows * kColumns), [=](ThreadData& d) {
                kernel({.x = d.more.data(),
                        .x_stride = activation_row_bytes(kColumns),
                        .w = d.weights.data(),
                        .y = d.y.as<float>(),
                        .y_stride = rows,
                        .m = 1,
                        .n = rows,
                        .k = kColumns});
              });
    const double roof = roofs_.best_int8_gops();
    by_arithmetic(cat(kManyRows, " rows"),
                  static_cast<double>(matrix_bytes(dtype, kManyOutputs, kManyColumns)),
                  2.0 * kManyRows * kManyOutputs * kManyColumns, roof, [=](ThreadData& d) {
                    kernel({.x = d.more.data(),
                            .x_stride = activation_row_bytes(kManyColumns),
                            .w = d.weights.data(),
                            .y = d.y.as<float>(),
                            .y_stride = kManyOutputs,
                            .m = kManyRows,
                            .n = kManyOutputs,
                            .k = kManyColumns});
                  });
  }

  // Scores, softmax and weighted sum over one span.
  void latent(LatentTypes type, double dot_roof) {
    const LatentKernels kernels = k_.latent[static_cast<size_t>(type)];
    const size_t row_bytes = latent_bytes(type);
    by_arithmetic(
        cat(kLatentRows, " rows, ", kLatentSpan, " positions"),
        static_cast<double>(kLatentSpan * row_bytes),
        2.0 * kLatentRows * kLatentSpan * (kLora + kLora + kRope),
        std::max(roofs_.fma_f32_gflops, dot_roof), [=](ThreadData& d) {
          float* at = d.y.as<float>();
          const auto take = [&](size_t floats) {
            return std::exchange(at, at + round_up(floats, 16));
          };
          LatentTile tile{.rows = kLatentRows,
                          .lora = kLora,
                          .rope = kRope,
                          .row_bytes = row_bytes,
                          .scale = 0.1f};
          tile.q = reinterpret_cast<uint32_t*>(take(latent_q_words(kLatentRows, kLora, kRope)));
          tile.max = take(kLatentRows);
          tile.sum = take(kLatentRows);
          tile.acc = take(latent_acc_floats(kLatentRows, kLora));
          tile.scores = take(kLatentSpan * kLatentRows);
          tile.probs = reinterpret_cast<uint32_t*>(take(kLatentSpan / 2 * kLatentRows));
          tile.values = reinterpret_cast<uint32_t*>(take(kLatentValueWords));
          AXK1_CHECK(static_cast<size_t>(at - d.y.as<float>()) * sizeof(float) <= d.y.size_bytes());
          kernels.load(tile, d.x.as<float>(), kLora + kRope, kLatentRows);
          const void* blocks[kLatentSpan / kLatentBlockTokens];
          for (size_t b = 0; b < std::size(blocks); ++b) {
            blocks[b] = d.latents[static_cast<size_t>(type)].as<char>() +
                        b * kLatentBlockTokens * row_bytes;
          }
          kernels.attend(tile,
                         {.blocks = blocks, .num_positions = kLatentSpan, .visible = nullptr});
        });
  }

  // `per_column` bytes are read and written for each column.
  void along_rows(double per_column, double flops_per_column, auto body) {
    in_cache(per_column * kRowsInCache * kColumns, flops_per_column * kRowsInCache * kColumns,
             [=](ThreadData& d) {
               for (size_t r = 0; r < kRowsInCache; ++r) {
                 body(d.x.as<float>() + r * kColumns, d.y.as<float>() + r * kColumns, d);
               }
             });
  }

  void elementwise(const std::string& entry) {
    const KernelTable k = k_;
    const auto halves = [](const float* x) { return reinterpret_cast<const uint16_t*>(x); };
    if (entry == "quantize_row") {
      along_rows(5, 2,
                 [=](const float* x, float* y, ThreadData&) { k.quantize_row(x, y, kColumns); });
    } else if (entry == "rms_norm") {
      along_rows(12, 4, [=](const float* x, float* y, ThreadData& d) {
        k.rms_norm(x, d.weights.as<float>(), 1e-6f, y, kColumns);
      });
    } else if (entry == "silu_mul") {
      along_rows(12, 4, [=](const float* x, float* y, ThreadData& d) {
        k.silu_mul(x, d.weights.as<float>(), y, kColumns);
      });
    } else if (entry == "softmax_block") {
      // Scores are made anew each time: they are what the block turns into weights.
      in_cache(3.0 * kRowsInCache * kColumns * sizeof(float), 4.0 * kRowsInCache * kColumns,
               [=](ThreadData& d) {
                 float* scores = d.y.as<float>();
                 std::memcpy(scores, d.x.data(), kRowsInCache * kColumns * sizeof(float));
                 float max = -std::numeric_limits<float>::infinity(), sum = 0;
                 for (size_t at = 0; at < kRowsInCache * kColumns; at += kScores) {
                   k.softmax_block(scores + at, kScores, 0.1f, &max, &sum);
                 }
               });
    } else if (entry == "add") {
      along_rows(12, 1, [=](const float* x, float* y, ThreadData&) { k.add(x, y, kColumns); });
    } else if (entry == "axpy") {
      along_rows(12, 2,
                 [=](const float* x, float* y, ThreadData&) { k.axpy(0.5f, x, y, kColumns); });
    } else if (entry == "scale") {
      along_rows(8, 1, [=](const float*, float* y, ThreadData&) { k.scale(1.0f, y, kColumns); });
    } else if (entry == "f32_to_bf16") {
      along_rows(6, 0, [=](const float* x, float* y, ThreadData&) {
        k.f32_to_bf16(x, reinterpret_cast<uint16_t*>(y), kColumns);
      });
    } else if (entry == "bf16_to_f32") {
      along_rows(6, 0, [=](const float* x, float* y, ThreadData&) {
        k.bf16_to_f32(halves(x), y, kColumns);
      });
    } else if (entry == "f16_to_f32") {
      along_rows(6, 0, [=](const float* x, float* y, ThreadData&) {
        k.f16_to_f32(halves(x), y, kColumns);
      });
    }
  }

  const KernelTable k_;
  const Roofs roofs_;
  const size_t stream_bytes_;
};

std::vector<ThreadData> make_data(ThreadPool& pool, const KernelTable& kernels,
                                  size_t stream_bytes) {
  std::vector<ThreadData> data(static_cast<size_t>(pool.num_threads()));
  for (ThreadData& d : data) {
    const size_t rows = std::max(kManyRows * kManyColumns, kRowsInCache * kColumns);
    d.weights = Buffer(stream_bytes);
    d.x = Buffer(rows * sizeof(float));
    d.y = Buffer(std::max(rows, stream_bytes / kColumns * 4) * sizeof(float));
    d.more = Buffer(
        std::max(kManyRows * activation_row_bytes(kManyColumns), activation_row_bytes(kColumns)));
    for (LatentTypes type : {LatentTypes::kBF16, LatentTypes::kI8}) {
      Buffer& latents = d.latents[static_cast<size_t>(type)];
      latents = Buffer(kLatentSpan * latent_bytes(type));
      std::memset(latents.data(), kFillByte, latents.size_bytes());
      if (type == LatentTypes::kBF16) continue;
      const Int8LatentHeader header{0.01f, 0.01f, kFillByte * int{kLora}, kFillByte * int{kRope}};
      for (size_t r = 0; r < kLatentSpan; ++r) {
        std::memcpy(latents.as<char>() + r * latent_bytes(type), &header, sizeof header);
      }
    }
    std::memset(d.weights.data(), kFillByte, d.weights.size_bytes());
    std::memset(d.x.data(), kFillByte, d.x.size_bytes());
  }
  // Activations in 8 bits: of many rows, whose first is as good a row of kColumns for timing.
  for (ThreadData& d : data) {
    kernels.quantize_row(d.x.as<float>(), d.more.data(), kColumns);
    for (size_t r = 0; r < kManyRows; ++r) {
      kernels.quantize_row(d.x.as<float>(),
                           d.more.as<char>() + r * activation_row_bytes(kManyColumns),
                           kManyColumns);
    }
  }
  return data;
}

double seconds_of(ThreadPool& pool, std::vector<ThreadData>& data, const Case& c) {
  const auto start = Clock::now();
  pool.run([&](int thread_idx) {
    for (size_t i = 0; i < c.repetitions; ++i) c.run(data[static_cast<size_t>(thread_idx)]);
  });
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

std::vector<BenchRow> bench_kernels(std::string_view kernels, uint32_t features, ThreadPool& pool,
                                    const Roofs& roofs, const KernelBenchOptions& options,
                                    const std::function<void(size_t, size_t)>& step) {
  const KernelTable table = select_kernels(kernels, features);
  const size_t stream_bytes = std::max(options.stream_bytes, kManyOutputs * kManyColumns * 4);
  CaseList list(table, roofs, stream_bytes);
  for (const KernelChoice& choice : explain_kernels(kernels, features)) list.add(choice);
  std::vector<ThreadData> data = make_data(pool, table, stream_bytes);
  Buffer region(size_t{256} << 20);
  const std::span<const std::byte> probe_bytes(region.as<std::byte>(), region.size_bytes());
  const double threads = pool.num_threads();
  for (Case& c : list.cases) {
    if (!c.run) continue;
    seconds_of(pool, data, c);  // warms up
    const double once = seconds_of(pool, data, c);
    c.repetitions = static_cast<size_t>(std::ceil(options.seconds_per_sample / once));
  }
  size_t done = 0;
  for (size_t sample = 0; sample < options.num_samples; ++sample) {
    for (Case& c : list.cases) {
      ++done;
      if (!c.run) continue;
      const bool memory = c.roof == 0 && !c.by_flops;
      const double before = memory ? probe_read_gb_per_s(pool, probe_bytes) : 0;
      const double seconds = seconds_of(pool, data, c) / static_cast<double>(c.repetitions);
      const double roof = memory ? (before + probe_read_gb_per_s(pool, probe_bytes)) / 2 : c.roof;
      const double rate = threads * (c.by_flops ? c.flops : c.bytes) / seconds * 1e-9;
      c.row.samples.push_back(rate);
      c.roofs.push_back(roof);
      if (roof > 0) c.shares.push_back(rate / roof);
      if (step) step(done, list.cases.size() * options.num_samples);
    }
  }
  std::vector<BenchRow> rows;
  for (Case& c : list.cases) {
    if (c.run) {
      c.row.unit = c.row.roof_unit = c.by_flops ? "GFLOP/s" : "GB/s";
      c.row.value = c.row.achieved = median(c.row.samples);
      c.row.roof = median(c.roofs);
      c.row.share_of_roof = median(c.shares);
      c.row.bytes = threads * c.bytes;
      c.row.flops = threads * c.flops;
    }
    rows.push_back(std::move(c.row));
  }
  return rows;
}

}  // namespace axk1
