// What tests of training share.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "train/batch.h"
#include "train/teacher.h"

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

// Says something different of every token that has a target.
class RandomTeacher final : public Teacher {
 public:
  RandomTeacher(TeacherRow::Kind kind, size_t vocab, const TrainBatch& batch)
      : kind_(kind), vocab_(vocab), targets_(batch.targets), ids_{5, 0, 11, 30} {
    Rng rng(21);
    const size_t width = kind == TeacherRow::Kind::kAll ? vocab : ids_.size();
    for (size_t t = 0; t < targets_.size(); ++t) {
      std::vector<double> row(width + 1);  // the last one: the rest
      double sum = 0;
      for (double& p : row) sum += p = std::exp(rng.normal());
      if (kind != TeacherRow::Kind::kTop) sum -= row.back();
      for (double p : row) probabilities_.push_back(static_cast<float>(p / sum));
    }
    width_ = width;
  }

  void read(const TrainBatch&, uint64_t) override {}
  std::span<const TeacherRow> rows(size_t first, size_t count) override {
    rows_.assign(count, {});
    for (size_t i = 0; i < count; ++i) {
      const size_t t = first + i;
      if (targets_[t] < 0) continue;
      const std::span<const float> row(probabilities_.data() + t * (width_ + 1), width_);
      rows_[i] = {.kind = kind_, .probabilities = row};
      for (float p : row) rows_[i].entropy -= double{p} * std::log(double{p});
      if (kind_ != TeacherRow::Kind::kAll) rows_[i].ids = ids_;
      if (kind_ == TeacherRow::Kind::kTop) rows_[i].rest = row.data()[width_];
    }
    return rows_;
  }
  uint64_t vocab_size() const override { return vocab_; }

 private:
  TeacherRow::Kind kind_;
  size_t vocab_, width_ = 0;
  std::vector<int32_t> targets_, ids_;
  std::vector<float> probabilities_;
  std::vector<TeacherRow> rows_;
};

}  // namespace axk1::testing
