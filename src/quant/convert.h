// A checkpoint to a k1pack file.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "model/checkpoint.h"
#include "parallel/thread_pool.h"
#include "quant/pack_build.h"
#include "quant/recipe.h"

namespace axk1 {

struct ConvertOptions {
  Recipe recipe = named_recipe(kDefaultRecipe);
  // How much each input column of a matrix matters, [cols], or empty (quant/quantize.h); called
  // with the names of CheckpointTensor. May be absent.
  std::function<std::span<const float>(std::string_view tensor_name)> importance;
  std::string importance_digest;  // tells one importance from another, for resuming
  PackProgress progress;
};

// The small files that a k1pack file takes along from a model directory, where they are there.
std::map<std::string, std::string> members_of(const NamedFiles& files);

// Converts in pieces: memory does not depend on the model. Tensors that the graph does not read
// (CheckpointSummary::num_unused_tensors) are left out. Throws Error naming the tensor and the
// place of a value that is not finite.
PackResult convert_to_k1pack(const Checkpoint& source, const std::string& path,
                             const ConvertOptions& options, ThreadPool& pool);

}  // namespace axk1
