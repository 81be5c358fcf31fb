// axk1 convert: weights from one container and type to another.
#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "bench/model_bench.h"
#include "io/checksum.h"
#include "io/file.h"
#include "io/json.h"
#include "model/plan.h"
#include "parallel/topology.h"
#include "quant/convert.h"
#include "quant/export.h"
#include "quant/importance.h"
#include "quant/synthetic.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxRecipeBytes = 1 << 20;

struct ConvertArguments {
  std::vector<std::string> paths;  // MODEL OUT, or OUT with --shape
  std::string recipe, format, importance, to = "k1pack", shape;
  size_t dense_layers = 1, moe_layers = 1, routed_experts = 0;
  uint64_t seed = 1, shard_megabytes = 5000;
  int threads = 0;
  bool json = false;
};

// A line on stderr that counts megabytes.
ByteProgress megabytes(const std::string& label) {
  constexpr uint64_t kMegabyte = 1'000'000;
  const auto line = std::make_shared<std::unique_ptr<Progress>>();
  return [label, line](uint64_t done, uint64_t total) {
    if (!*line) *line = std::make_unique<Progress>(label, "MB", total / kMegabyte);
    (*line)->update(done / kMegabyte);
    if (done == total) line->reset();
  };
}

Recipe recipe_of(const ConvertArguments& a) {
  if (!a.recipe.empty() && !a.format.empty()) {
    fail(ErrorCode::kUsage, "convert: found both --recipe and --format, expected one of them");
  }
  if (!a.recipe.empty()) return parse_recipe(read_file(a.recipe, kMaxRecipeBytes), a.recipe);
  return named_recipe(a.format.empty() ? kDefaultRecipe : a.format);
}

ModelConfig shape_of(const ConvertArguments& a) {
  if (a.shape != "axk1") return load_model_config(a.shape);
  if (a.dense_layers + a.moe_layers == 0) {
    fail(ErrorCode::kUsage, "convert: --dense-layers and --moe-layers are both 0");
  }
  ModelConfig config = axk1_shape(a.dense_layers, a.moe_layers, a.routed_experts);
  config.tie_word_embeddings = false;  // as the release has it; a disk has the room
  return config;
}

PackResult make_k1pack(const ConvertArguments& a, const std::string& out, ThreadPool& pool) {
  const PackProgress progress{.checking = megabytes("checking what is there"),
                              .writing = megabytes("converting")};
  if (!a.shape.empty()) {
    if (!a.importance.empty()) {
      fail(ErrorCode::kUsage, "convert: --importance goes with a model, not with --shape");
    }
    return write_synthetic_k1pack(
        shape_of(a), out, {.recipe = recipe_of(a), .seed = a.seed, .progress = progress}, pool);
  }
  const Checkpoint source = open_checkpoint(a.paths[0]);
  if (source.summary.num_unused_tensors > 0) {
    print_err(cat("leaving out ", source.summary.num_unused_tensors,
                  " tensors that are not computed: rotary buffers, further layers of multi-token "
                  "prediction, copies of embedding and head in them\n"));
  }
  ConvertOptions options{.recipe = recipe_of(a), .progress = progress};
  std::optional<Importance> importance;
  if (!a.importance.empty()) {
    importance = Importance::load(a.importance);
    options.importance_digest = checksum_text(checksum64(MappedFile(a.importance).bytes()));
    options.importance = [&](std::string_view name) { return importance->find(name); };
  }
  return convert_to_k1pack(source, out, options, pool);
}

void report(const ConvertArguments& a, const std::string& out, json::object result,
            std::chrono::steady_clock::time_point start) {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result["seconds"] = seconds;
  result["peak_memory_bytes"] = peak_memory_bytes();
  if (a.json) {
    print_out(json::to_text(result) + "\n");
    return;
  }
  const auto bytes = result.at("bytes").to_number<uint64_t>();
  char speed[64];
  std::snprintf(speed, sizeof speed, "%.1f s, %.0f MB/s", seconds,
                static_cast<double>(bytes) / 1e6 / seconds);
  print_err(cat("wrote ", out, ": ", human_bytes(bytes), " in ", speed, ", ",
                human_bytes(peak_memory_bytes()), " of memory at most\n"));
}

void run_convert(const ConvertArguments& a) {
  const size_t expected = a.shape.empty() ? 2 : 1;
  if (a.paths.size() != expected) {
    fail(ErrorCode::kUsage, "convert: found ", a.paths.size(), " paths, expected ",
         expected == 2 ? "MODEL and OUT" : "OUT alone with --shape");
  }
  const auto start = std::chrono::steady_clock::now();
  const std::string& out = a.paths.back();
  ThreadPool pool(a.threads > 0 ? a.threads : usable_cpus());
  if (a.to == "safetensors") {
    if (!a.shape.empty() || !a.recipe.empty() || !a.format.empty() || !a.importance.empty()) {
      fail(ErrorCode::kUsage, "convert: --to safetensors takes a model and no recipe");
    }
    const ExportResult result = export_safetensors(
        open_checkpoint(a.paths[0]), out,
        {.max_shard_bytes = a.shard_megabytes * 1'000'000, .progress = megabytes("converting")},
        pool);
    report(a, out, {{"files", result.num_files}, {"bytes", result.tensor_bytes}}, start);
    return;
  }
  const PackResult result = make_k1pack(a, out, pool);
  if (result.started_anew) {
    print_err("what an interrupted run had left was of another source or recipe: started anew\n");
  } else if (result.num_resumed_records > 0) {
    print_err(cat("went on after ", result.num_resumed_records, " of ", result.num_records,
                  " records that an interrupted run had written\n"));
  }
  report(a, out,
         {{"records", result.num_records},
          {"resumed_records", result.num_resumed_records},
          {"bytes", std::filesystem::file_size(out)}},
         start);
}

}  // namespace

void add_convert_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "convert", "Write a model as a k1pack file, or a k1pack file as a Hugging Face directory");
  const auto a = std::make_shared<ConvertArguments>();
  command
      ->add_option("MODEL_AND_OUT", a->paths,
                   "The model (a directory or a k1pack file) and what to write; with --shape only "
                   "what to write")
      ->required();
  command->add_option("--recipe", a->recipe, "JSON file: a type for each class of tensors");
  command->add_option(
      "--format", a->format,
      cat("A recipe by name: q8, q4, q3, bf16, keep (default: ", kDefaultRecipe, ")"));
  command->add_option("--importance", a->importance,
                      "A file of axk1 calibrate: weights that matter more are rounded better");
  command->add_option("--to", a->to, "What to write")
      ->check(CLI::IsMember({"k1pack", "safetensors"}))
      ->capture_default_str();
  command
      ->add_option("--shard-megabytes", a->shard_megabytes,
                   "Size of the largest file of --to safetensors")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--shape", a->shape,
                      "Synthetic weights instead of a model: axk1, or the path of a config.json");
  command->add_option("--dense-layers", a->dense_layers, "Dense layers of --shape axk1")
      ->capture_default_str();
  command->add_option("--moe-layers", a->moe_layers, "MoE layers of --shape axk1")
      ->capture_default_str();
  command->add_option("--routed-experts", a->routed_experts,
                      "Routed experts of a layer of --shape axk1 (default 192)");
  command->add_option("--seed", a->seed, "Of synthetic weights")->capture_default_str();
  command->add_option("--threads", a->threads, "Threads; 0: every usable processor")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command->add_flag("--json", a->json, "Print one JSON object about what was done");
  command->footer(
      "A run that was interrupted goes on where it was when it is started again.\n\n"
      "Examples:\n"
      "  axk1 convert models/nano-v1 nano.k1pack --format q4\n"
      "  axk1 convert nano.k1pack nano-hf --to safetensors");
  command->callback([a] { run_convert(*a); });
}

}  // namespace axk1
