// What tests of training share.
#pragma once

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "train/batch.h"

namespace axk1::testing {

inline std::vector<double> normal_values(size_t size, uint64_t seed) {
  Rng rng(seed);
  std::vector<double> values(size);
  for (double& value : values) value = rng.normal();
  return values;
}

// Random ids, documents of one to some tokens, and a few tokens without target.
inline TrainBatch random_batch(size_t rows, size_t row_length, int32_t vocab, uint64_t seed) {
  Rng rng(seed);
  TrainBatch batch{.rows = rows, .row_length = row_length};
  for (size_t i = 0; i < rows * row_length; ++i) {
    const auto id = [&] { return static_cast<int32_t>(rng.next() % static_cast<uint64_t>(vocab)); };
    const bool begins = i % row_length == 0 || rng.next() % 9 == 0;
    batch.inputs.push_back(id());
    batch.positions.push_back(begins ? 0 : batch.positions.back() + 1);
    batch.targets.push_back(rng.next() % 8 == 0 ? TrainBatch::kNoTarget : id());
  }
  return batch;
}

}  // namespace axk1::testing
