// Training a recorded case again: the batches and optimiser settings of a folder laid out like
// testdata/golden/g2-fused-bias, to compare the result with another implementation's.
#pragma once

#include <string>
#include <vector>

#include "io/json.h"
#include "kernels/kernel_table.h"
#include "parallel/thread_pool.h"
#include "train/batch.h"
#include "train/optimizer.h"

namespace axk1 {

struct ReplaySettings {
  double lr = 0;
  AdamWOptions adamw;
  double max_gradient_norm = 0;    // 0: no clipping
  std::vector<std::string> notes;  // what the case does not say, and what was taken instead
};

struct ReplayCase {
  std::vector<TrainBatch> batches;
  ReplaySettings settings;
};

// The `training` object of a case.json. `batches` is a list of batches, a batch a list of rows of
// ids; a row's ids but the last are inputs, those but the first targets. Settings come from numbers
// named lr, betas, eps, weight_decay and clip (or as torch calls them), in `training` itself or in
// an `optimizer` object, or from the text of `optimizer`. Throws Error naming `source` and the
// field; kUnsupported when the optimiser is not AdamW or has a part that is not computed here.
ReplayCase parse_replay_case(const json::value& training, const std::string& source);

struct ReplayResult {
  std::vector<double> losses;
  std::vector<double> gradient_norms;  // before clipping
  std::vector<std::string> notes;
};

// Trains the checkpoint of case_dir and writes to out_dir, which is made if need be: losses.json,
// gradients.safetensors (of the first step, before clipping) and after.safetensors (the weights
// after the last), f32, names and shapes as on disk. Weights that are on disk but take no part (a
// dense layer's post-MLP norm, the router's bias) are in neither.
ReplayResult replay_training(const std::string& case_dir, const std::string& out_dir,
                             const KernelTable& kernels, ThreadPool& pool, DType compute);

}  // namespace axk1
