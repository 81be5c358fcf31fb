// axk1 bench: how fast a model runs here, beside what the machine could do at most.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "apps/bench_suites.h"
#include "apps/commands.h"
#include "apps/model_options.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "bench/attention_bench.h"
#include "bench/csv.h"
#include "bench/expert_bench.h"
#include "bench/kernel_bench.h"
#include "bench/model_bench.h"
#include "bench/train_bench.h"
#include "io/json.h"
#include "kernels/registry.h"
#include "model/plan.h"
#include "parallel/topology.h"

namespace axk1 {
namespace {

const std::vector<std::string> kSuites = {"all",     "prefill", "decode", "attention", "experts",
                                          "kernels", "roofs",   "train",  "drafts"};

struct BenchArguments {
  ModelOptions model;  // model.model is read from `positionals`
  std::vector<std::string> positionals;
  std::string shape, format = "bf16";
  size_t dense_layers = 1, moe_layers = 1, routed_experts = 0;
  ModelBenchOptions bench;
  bool json = false, csv = false;
  AttentionBenchOptions attention;
  ExpertBenchOptions experts;
  TrainBenchOptions train;
  DraftBenchOptions drafts;
  std::string requests;  // of suite drafts
};

DType format_dtype(const std::string& format) {
  if (format == "bf16") return DType::kBF16;
  if (format == "f32") return DType::kF32;
  if (format == "f16") return DType::kF16;
  if (format == "q8") return DType::kQ8;
  if (format == "q4") return DType::kQ4;
  if (format == "q3") return DType::kQ3;
  fail(ErrorCode::kUsage, "--format ", format, ": expected bf16, f16, f32, q8, q4 or q3");
}

// The sizes to measure: of --shape, else of a model's config.json, else of A.X K1.
ModelConfig layer_config(const BenchArguments& a) {
  if (!a.shape.empty() && !a.model.model.empty()) {
    fail(ErrorCode::kUsage, "bench: found both a model and --shape, expected one of them");
  }
  if (!a.model.model.empty()) return load_model_config(a.model.model);
  if (a.shape.empty() || a.shape == "axk1") return axk1_shape(1, 1, a.routed_experts);
  return load_model_config(a.shape);
}

// Shows how far a suite is, from its first sample on.
class SampleProgress {
 public:
  void operator()(size_t done, size_t total) {
    if (!progress_) progress_ = std::make_shared<Progress>("measuring", "samples", total);
    progress_->update(done);
  }

 private:
  std::shared_ptr<Progress> progress_;  // shared, since a std::function can be copied
};

// Says how large synthetic weights will be. Throws Error(kOutOfMemory) where they do not fit.
void check_memory(uint64_t parameters, DType dtype) {
  const uint64_t bytes = matrix_bytes(dtype, parameters, 1 << 13) >> 13;
  const uint64_t memory = machine_memory_bytes();
  if (memory && bytes > memory) {
    fail(ErrorCode::kOutOfMemory, "weights of this shape take ", human_bytes(bytes),
         ", this machine has ", human_bytes(memory),
         ": use fewer layers or --routed-experts, which changes no size of a matrix");
  }
  print_err(cat("making ", human_bytes(bytes), " of synthetic weights\n"));
}

std::unique_ptr<Engine> make_engine(BenchArguments& a) {
  EngineOptions options = engine_options(a.model);
  for (size_t tokens : a.bench.prefill_tokens) {
    options.prefill_tokens = std::max(options.prefill_tokens, tokens);
  }
  for (size_t streams : a.bench.decode_batches) {
    options.prefill_tokens = std::max(options.prefill_tokens, streams);
  }
  if (a.shape.empty()) {
    if (a.model.model.empty()) a.model.model = find_shipped_model();
    return std::make_unique<Engine>(a.model.model, options);
  }
  if (!a.model.model.empty()) {
    fail(ErrorCode::kUsage, "bench: found both a model and --shape, expected one of them");
  }
  ModelConfig config;
  if (a.shape == "axk1") {
    if (a.dense_layers + a.moe_layers == 0) {
      fail(ErrorCode::kUsage, "bench: --dense-layers and --moe-layers are both 0");
    }
    config = axk1_shape(a.dense_layers, a.moe_layers, a.routed_experts);
  } else {
    config = load_model_config(a.shape);
  }
  const DType dtype = format_dtype(a.format);
  check_memory(count_parameters(config).total(), dtype);
  return std::make_unique<Engine>(config, random_weights(config, dtype, 1), options);
}

std::string decimals(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

struct NamedRoof {
  const char* name;
  const char* unit;
  double value;
};

std::vector<NamedRoof> named(const Roofs& r) {
  return {{"memory_read", "GB/s", r.read_gb_per_s},   {"l3_read", "GB/s", r.read_l3_gb_per_s},
          {"l2_read", "GB/s", r.read_l2_gb_per_s},    {"fma_f32", "GFLOP/s", r.fma_f32_gflops},
          {"dot_bf16", "GFLOP/s", r.dot_bf16_gflops}, {"dot_int8", "GOP/s", r.dot_int8_gops},
          {"amx_bf16", "GFLOP/s", r.amx_bf16_gflops}, {"amx_int8", "GOP/s", r.amx_int8_gops},
          {"handover", "ns", r.handover_ns}};
}

void print_json(const Engine* engine, int threads, const Roofs& roofs,
                const std::vector<BenchRow>& rows) {
  json::object roofs_out;
  for (const NamedRoof& roof : named(roofs)) {
    if (roof.value > 0) roofs_out[roof.name] = {{"value", roof.value}, {"unit", roof.unit}};
  }
  json::array rows_out;
  for (const BenchRow& row : rows) {
    json::array samples(row.samples.begin(), row.samples.end());
    rows_out.push_back({{"suite", row.suite},
                        {"name", row.name},
                        {"value", row.value},
                        {"unit", row.unit},
                        {"bytes", row.bytes},
                        {"flops", row.flops},
                        {"roof", row.roof},
                        {"roof_name", row.roof_name},
                        {"roof_unit", row.roof_unit},
                        {"achieved", row.achieved},
                        {"share_of_roof", row.share_of_roof},
                        {"samples", std::move(samples)},
                        {"kernel", row.kernel}});
    if (row.suite == "kernels") {
      rows_out.back().as_object()["kernel_needs"] = row.kernel_needs;
      json::array passed_over;
      for (const auto& [kernel, reason] : row.passed_over) {
        passed_over.push_back({{"kernel", kernel}, {"reason", reason}});
      }
      rows_out.back().as_object()["passed_over"] = std::move(passed_over);
    }
  }
  json::object out{{"machine",
                    {{"features", cpu_feature_names(cpu_features())},
                     {"threads", threads},
                     {"roofs", std::move(roofs_out)}}},
                   {"rows", std::move(rows_out)}};
  if (engine) {
    out["model"] = {{"name", engine->name()},
                    {"dtype", dtype_name(engine->weights().compute_dtype)},
                    {"parameters_total", count_parameters(engine->config()).total()}};
  }
  print_out(json::to_text(out) + "\n");
}

void print_table(int threads, const Roofs& roofs, const std::vector<BenchRow>& rows) {
  print_out(cat("machine: ", threads, threads == 1 ? " thread, " : " threads, ",
                cpu_feature_names(cpu_features()), "\n"));
  for (const NamedRoof& roof : named(roofs)) {
    if (roof.value <= 0) continue;
    char line[128];
    std::snprintf(line, sizeof line, "  %-12s %10.1f %s\n", roof.name, roof.value, roof.unit);
    print_out(line);
  }
  if (rows.empty()) return;
  char line[256];
  std::snprintf(line, sizeof line, "%-30s %10s %-8s %9s %8s  %-24s %5s  %s\n", "", "value", "",
                "MB/step", "GFLOP", "achieved / roof", "share", "kernels");
  print_out(line);
  for (const BenchRow& row : rows) {
    const std::string rate =
        cat(decimals(row.achieved, 1), " / ", decimals(row.roof, 1), " ", row.roof_unit);
    std::snprintf(line, sizeof line, "%-30s %10s %-8s %9.1f %8.2f  %-24s %4.0f%%  %s\n",
                  row.name.c_str(), decimals(row.value, row.value < 100 ? 3 : 1).c_str(),
                  row.unit.c_str(), row.bytes / 1e6, row.flops / 1e9, rate.c_str(),
                  100 * row.share_of_roof, row.kernel.c_str());
    print_out(line);
  }
}

// Single kernels: figure, roof, share, whose it is and why not a better one.
void print_kernels(const std::vector<BenchRow>& rows) {
  std::string last;
  for (const BenchRow& row : rows) {
    const std::string rate = row.samples.empty()
                                 ? "not measured"
                                 : cat(decimals(row.value, 1), " / ", decimals(row.roof, 1), " ",
                                       row.unit, " ", row.roof_name);
    const bool alone = row.kernel_needs.empty() || row.kernel_needs == row.kernel;
    char line[256];
    std::snprintf(line, sizeof line, "%-32s %-36s %4.0f%%  ", row.name.c_str(), rate.c_str(),
                  100 * row.share_of_roof);
    print_out(cat(line, row.kernel, alone ? "" : cat(" (", row.kernel_needs, ")"), "\n"));
    const std::string entry = row.name.substr(0, row.name.find(','));
    if (entry == last) continue;  // a second figure of the same kernel
    last = entry;
    for (const auto& [kernel, reason] : row.passed_over) {
      print_out(cat("    not ", kernel, ": ", reason, "\n"));
    }
  }
}

// The roofs come first, as rows of a suite of that name.
void print_csv(const Roofs& roofs, const std::vector<BenchRow>& rows) {
  std::vector<BenchRow> all;
  for (const NamedRoof& roof : named(roofs)) {
    if (roof.value <= 0) continue;
    all.push_back({.suite = "roofs", .name = roof.name, .value = roof.value, .unit = roof.unit});
  }
  all.insert(all.end(), rows.begin(), rows.end());
  print_out(bench_csv(all));
}

void print_results(const BenchArguments& a, const Engine* engine, int threads, const Roofs& roofs,
                   const std::vector<BenchRow>& rows) {
  if (a.json) {
    print_json(engine, threads, roofs, rows);
  } else if (a.csv) {
    print_csv(roofs, rows);
  } else {
    print_table(threads, roofs, rows);
  }
}

// What a suite without an engine measures with.
struct Machine {
  ThreadPool pool;
  KernelTable kernels;
  Roofs roofs;

  explicit Machine(const BenchArguments& a)
      : pool(a.model.threads > 0 ? a.model.threads : usable_cpus()),
        kernels(select_kernels(a.model.kernels, cpu_features())),
        roofs(measure_roofs(pool, {})) {}
};

void run_train_suite(BenchArguments& a) {
  if (a.shape.empty() && a.model.model.empty()) a.model.model = find_shipped_model();
  const ModelConfig config = layer_config(a);
  // Weights, gradients and two moments, and once more the weights, packed in both directions.
  const uint64_t bytes = 20 * count_parameters(config).total();
  if (const uint64_t memory = machine_memory_bytes(); memory && bytes > memory) {
    fail(ErrorCode::kOutOfMemory, "training this shape takes ", human_bytes(bytes),
         " without activations, this machine has ", human_bytes(memory));
  }
  if (!a.model.dtype.empty()) {
    a.train.compute = {a.model.dtype == "bf16" ? DType::kBF16 : DType::kF32};
  }
  a.train.num_samples = a.bench.num_samples;
  Machine machine(a);
  const std::vector<BenchRow> rows =
      bench_train(config, machine.kernels, machine.pool, machine.roofs, a.train, SampleProgress());
  print_results(a, nullptr, machine.pool.num_threads(), machine.roofs, rows);
}

void run_kernel_suite(const BenchArguments& a) {
  Machine machine(a);
  const std::vector<BenchRow> rows =
      bench_kernels(a.model.kernels, cpu_features(), machine.pool, machine.roofs,
                    {.num_samples = a.bench.num_samples}, SampleProgress());
  const bool table = !a.json && !a.csv;
  print_results(a, nullptr, machine.pool.num_threads(), machine.roofs,
                table ? std::vector<BenchRow>() : rows);
  if (table) print_kernels(rows);
}

void run_attention_suite(BenchArguments& a) {
  if (const auto dtype = engine_options(a.model).cache_dtype) a.attention.cache_dtypes = {*dtype};
  a.attention.num_samples = a.bench.num_samples;
  const ModelConfig config = layer_config(a);
  Machine machine(a);
  const std::vector<BenchRow> rows = bench_attention(config, machine.kernels, machine.pool,
                                                     machine.roofs, a.attention, SampleProgress());
  print_results(a, nullptr, machine.pool.num_threads(), machine.roofs, rows);
}

void run_expert_suite(BenchArguments& a) {
  const ModelConfig config = layer_config(a);
  if (config.num_moe_layers() == 0) {
    fail(ErrorCode::kUsage,
         "bench experts: found a model whose layers are all dense, expected one "
         "with experts");
  }
  a.experts.dtype = format_dtype(a.format);
  a.experts.num_samples = a.bench.num_samples;
  const auto experts = static_cast<uint64_t>(config.n_routed_experts + config.n_shared_experts);
  const auto parameters =
      3 * static_cast<uint64_t>(config.hidden_size * config.moe_intermediate_size);
  check_memory(experts * parameters, a.experts.dtype);
  Machine machine(a);
  const std::vector<BenchRow> rows = bench_experts(config, machine.kernels, machine.pool,
                                                   machine.roofs, a.experts, SampleProgress());
  print_results(a, nullptr, machine.pool.num_threads(), machine.roofs, rows);
}

void run_bench(BenchArguments& a) {
  std::string suite = "all";
  for (const std::string& word : a.positionals) {
    if (std::find(kSuites.begin(), kSuites.end(), word) != kSuites.end()) {
      suite = word;
    } else if (a.model.model.empty()) {
      a.model.model = word;
    } else {
      fail(ErrorCode::kUsage, "bench: found \"", printable(word), "\" after the model \"",
           printable(a.model.model), "\", expected one suite and one model at most");
    }
  }
  if (suite == "roofs") {
    const Machine machine(a);
    return print_results(a, nullptr, machine.pool.num_threads(), machine.roofs, {});
  }
  if (suite == "kernels") return run_kernel_suite(a);
  if (suite == "attention") return run_attention_suite(a);
  if (suite == "experts") return run_expert_suite(a);
  if (suite == "train") return run_train_suite(a);
  if (suite == "drafts") {
    if (!a.bench.decode_batches.empty()) a.drafts.streams = a.bench.decode_batches.front();
    a.drafts.num_samples = a.bench.num_samples;
    return run_draft_suite(*make_engine(a), a.requests, a.drafts, a.json);
  }
  a.bench.run_prefill = suite != "decode";
  a.bench.run_decode = suite != "prefill";
  Roofs roofs;
  {
    ThreadPool pool(a.model.threads > 0 ? a.model.threads : usable_cpus());
    roofs = measure_roofs(pool, {});
  }
  const std::unique_ptr<Engine> engine = make_engine(a);
  const std::vector<BenchRow> rows = bench_model(*engine, roofs, a.bench, SampleProgress());
  print_results(a, engine.get(), engine->num_threads(), roofs, rows);
}

}  // namespace

void add_bench_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "bench", "Measure prefill and decode speed, and the share of the machine's roofs");
  const auto a = std::make_shared<BenchArguments>();
  command->add_option(
      "SUITE_OR_MODEL", a->positionals,
      "A suite (all: prefill and decode; or one of them, attention, experts, kernels, roofs, "
      "train, drafts), a model directory, or both; the shipped model when none is named");
  add_engine_options(*command, a->model);
  command->add_option("--shape", a->shape,
                      "Synthetic weights instead of a model: axk1, or the path of a config.json");
  command->add_option("--dense-layers", a->dense_layers, "Dense layers of --shape axk1")
      ->capture_default_str();
  command->add_option("--moe-layers", a->moe_layers, "MoE layers of --shape axk1")
      ->capture_default_str();
  command->add_option("--routed-experts", a->routed_experts,
                      "Routed experts of a layer of --shape axk1 (default 192), to save memory");
  command
      ->add_option("--format", a->format, "Type of synthetic weights: bf16, f16, f32, q8, q4 or q3")
      ->capture_default_str();
  command->add_option("--prefill-tokens", a->bench.prefill_tokens, "Prompt lengths")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--streams", a->bench.decode_batches, "Sequences decoded together")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--depth", a->bench.depth, "Tokens a decoding sequence already holds")
      ->capture_default_str();
  command->add_option("--depths", a->attention.depths, "Positions attended to, of suite attention")
      ->delimiter(',')
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  command->add_option("--tokens", a->experts.tokens, "Tokens computed together, of suite experts")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command->add_option("--requests", a->requests,
                      "JSON lines as axk1 run --jsonl takes them, of suite drafts");
  command
      ->add_option("--draft-tokens", a->drafts.draft_tokens,
                   "Most drafts of one answer and step, of suite drafts")
      ->capture_default_str();
  command->add_option("--rows", a->train.rows, "Rows of a micro-batch, of suite train")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--row-length", a->train.row_length, "Tokens of a row, of suite train")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--samples", a->bench.num_samples, "Samples of each figure")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI::Option* json = command->add_flag("--json", a->json, "Print one JSON object");
  command->add_flag("--csv", a->csv, "Print comma-separated values, a header line first")
      ->excludes(json);
  command->footer(
      "Figures are medians of interleaved samples. The roof of a figure is memory bandwidth (that\n"
      "of the L3 cache when a step fits it) or the arithmetic of the types used, whichever takes\n"
      "longer; bandwidth is probed beside every sample, since virtual machines change under one.\n"
      "Routing is by random tokens; bytes count the experts that were really read.\n"
      "Suite attention needs no weights: decode attention of one layer (of --shape or of a "
      "model's\n"
      "config.json; default A.X K1) at --depths, with each type of cache or that of "
      "--cache-dtype.\n"
      "Suite experts: routed and shared experts of one layer, of the same sizes and of --format, "
      "for\n"
      "--tokens that each choose experts at random.\n"
      "Suite train: forward and backward of one micro-batch with random weights of a model's "
      "sizes,\n"
      "in f32 and bf16 or in --dtype, and a step of AdamW.\n"
      "Suite drafts: the answers to --requests, --streams (the first) at a time, by the "
      "completion\n"
      "service without drafts, with prompt lookup, with multi-token prediction where the model "
      "has\n"
      "it, with both, and with multi-token prediction whether or not it pays; in turn, and\n"
      "compared bit by bit. It says how many drafts were right; a step may be of a prompt.\n"
      "The suite kernels lists every kernel: which table it is taken from, why no better one was,\n"
      "and its speed on all threads (products: streaming weights for one row, and 128 rows).\n\n"
      "Examples:\n"
      "  build/release/axk1 bench models/nano-v1\n"
      "  build/release/axk1 bench drafts models/nano-v1 --streams 1 --requests "
      "examples/small-talk/requests.ndjson\n"
      "  build/release/axk1 bench decode --shape axk1 --dense-layers 1 --moe-layers 1 "
      "--routed-experts 32\n"
      "  build/release/axk1 bench experts --format q4 --routed-experts 32 --tokens 1,16");
  command->callback([a] { run_bench(*a); });
}

}  // namespace axk1
