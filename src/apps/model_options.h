// The options that every command with a model shares.
#pragma once

#include <string>

#include "engine/engine.h"

namespace CLI {
class App;
}

namespace axk1 {

struct ModelOptions {
  std::string model;          // a Hugging Face directory or a k1pack file
  int threads = 0;            // 0: every usable processor
  std::string kernels;        // empty: the best of the machine
  std::string dtype;          // "f32", "bf16" or empty: as the checkpoint
  std::string load = "mmap";  // or "read"
  std::string cache_dtype;    // "f32", "bf16", "int8" or empty: as dtype
};

enum class ModelArgument { kRequired, kOptional };

// Adds the positional MODEL, --threads, --kernels, --dtype and --load. `options` must outlive the
// parsing.
void add_model_options(CLI::App& command, ModelOptions& options, ModelArgument argument);

// The same without MODEL.
void add_engine_options(CLI::App& command, ModelOptions& options);

EngineOptions engine_options(const ModelOptions& options);

// The model that comes with the program: beside the build folder of a checkout, in an installed
// share folder, or under the current folder. Throws Error(kNotFound) naming the places.
std::string find_shipped_model();

}  // namespace axk1
