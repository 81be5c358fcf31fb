#include "apps/model_options.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "apps/progress.h"
#include "base/error.h"
#include "io/file.h"

namespace axk1 {

void add_model_options(CLI::App& command, ModelOptions& options, ModelArgument argument) {
  CLI::Option* model = command.add_option("MODEL", options.model,
                                          "Model: a Hugging Face directory or a .k1pack file");
  if (argument == ModelArgument::kRequired) model->required();
  add_engine_options(command, options);
}

void add_engine_options(CLI::App& command, ModelOptions& options) {
  command.add_option("--threads", options.threads, "Threads; 0: every usable processor")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command.add_option("--kernels", options.kernels,
                     "Kernels to compute with: ref, avx2, avx512, ... (default: the best here)");
  command.add_option("--dtype", options.dtype, "Number type to compute in (default: the model's)")
      ->check(CLI::IsMember({"f32", "bf16"}));
  command
      .add_option("--cache-dtype", options.cache_dtype,
                  "Number type of the attention cache: f32, bf16 or int8 (default: --dtype)")
      ->check(CLI::IsMember({"f32", "bf16", "int8"}));
  command
      .add_option(
          "--load", options.load,
          "How a k1pack file comes into memory: mmap (when first used) or read (all at once, "
          "into huge pages)")
      ->check(CLI::IsMember({"mmap", "read"}))
      ->capture_default_str();
}

EngineOptions engine_options(const ModelOptions& options) {
  EngineOptions engine;
  engine.num_threads = options.threads;
  engine.kernels = options.kernels;
  if (options.dtype == "f32") engine.dtype = DType::kF32;
  if (options.dtype == "bf16") engine.dtype = DType::kBF16;
  for (CacheDType dtype : {CacheDType::kF32, CacheDType::kBF16, CacheDType::kI8}) {
    if (options.cache_dtype == cache_dtype_name(dtype)) engine.cache_dtype = dtype;
  }
  if (options.load == "read") {
    engine.load = K1PackLoad::kRead;
    const auto progress = std::make_shared<std::unique_ptr<Progress>>();
    engine.load_progress = [progress](uint64_t done, uint64_t total) {
      constexpr uint64_t kMegabyte = 1'000'000;
      if (!*progress) {
        *progress = std::make_unique<Progress>("loading", "MB", total / kMegabyte);
      }
      (*progress)->update(done / kMegabyte);
      if (done == total) progress->reset();
    };
  }
  return engine;
}

std::string find_shipped_model() {
  namespace fs = std::filesystem;
  constexpr const char* kName = "models/nano-v1";
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::string tried;
  for (const fs::path& base : {program / "../..", program / "../share/axk1", fs::path(".")}) {
    const std::string dir = (base / kName).lexically_normal().string();
    if (file_exists(dir + "/config.json")) return dir;
    tried += cat(tried.empty() ? "" : ", ", dir);
  }
  fail(ErrorCode::kNotFound, "no model was named, and the one that comes with axk1 is in none of ",
       tried, "; name a model directory");
}

}  // namespace axk1
