// Weights of any shape as a k1pack file, for measuring.
#pragma once

#include <cstdint>
#include <string>

#include "model/config.h"
#include "parallel/thread_pool.h"
#include "quant/pack_build.h"
#include "quant/recipe.h"

namespace axk1 {

struct SyntheticOptions {
  Recipe recipe = named_recipe(kDefaultRecipe);
  uint64_t seed = 1;
  PackProgress progress;
};

// Values of the size of a trained model's: each panel of 16 rows is one of a pool of panels, drawn
// at random, so that large files are made as fast as the disk takes them. The same seed gives the
// same file. "keep" in the recipe means config.dtype. Interruptions are as in write_pack.
PackResult write_synthetic_k1pack(const ModelConfig& config, const std::string& path,
                                  const SyntheticOptions& options, ThreadPool& pool);

}  // namespace axk1
