// Two models of one config made one: docs/training.md, "Think-Fusion".
#pragma once

#include <cstdint>
#include <string>

#include "formats/k1pack.h"

namespace axk1 {

struct MergeOptions {
  double weight = 0.5;  // of B, from 0 to 1: every tensor becomes (1 - weight) A + weight B
  ByteProgress progress;
};

struct MergeResult {
  size_t num_files = 0, num_tensors = 0;
  uint64_t tensor_bytes = 0;
};

// Writes `dir` from two Hugging Face directories: files, names and types of tensors, config and
// tokenizer are those of A. Sums are in f32 and rounded to the nearest number of the type; so are
// the correction biases of routers merged. Tensor by tensor: memory does not depend on the models.
// The directory appears under its name when it is complete (DIR.part until then); one that is there
// already is refused. Throws Error: naming the first fields of the config, tokenizer files or
// tensors (a few, and how many) that do not agree.
MergeResult merge_models(const std::string& a, const std::string& b, const std::string& dir,
                         const MergeOptions& options = {});

}  // namespace axk1
