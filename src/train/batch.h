// What a training step reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace axk1 {

// Rows of packed documents. A token attends to itself and to the positions[i] tokens before it in
// its row: positions restart at 0 with each document.
struct TrainBatch {
  size_t rows = 0, row_length = 0;
  std::vector<int32_t> inputs;     // [rows, row_length]
  std::vector<int32_t> targets;    // [rows, row_length]; kNoTarget: no loss here
  std::vector<int32_t> positions;  // [rows, row_length]
  // What each target's loss counts for in the gradient, of either sign; empty: 1 each. Losses that
  // are reported, and guesses of multi-token prediction, are not multiplied. [rows, row_length]
  std::vector<float> weights;
  static constexpr int32_t kNoTarget = -1;
};

}  // namespace axk1
