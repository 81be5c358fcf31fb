// Who a student learns from.
#pragma once

#include <cstdint>
#include <span>

#include "train/batch.h"
#include "train/distil_loss.h"

namespace axk1 {

// One thread at a time.
class Teacher {
 public:
  virtual ~Teacher() = default;

  // The micro-batch that is asked about next. first_position: how many tokens the run has before
  // it, rows in the order of the run.
  virtual void read(const TrainBatch& batch, uint64_t first_position) = 0;

  // Of its tokens [first, first + count): a row of probabilities at the teacher's temperature, or
  // kNothing where the batch has no target. Valid until the next call of this object.
  virtual std::span<const TeacherRow> rows(size_t first, size_t count) = 0;

  virtual uint64_t vocab_size() const = 0;
};

// What a step's loss is made of besides the text. read() of the teacher has had the micro-batch.
struct Teaching {
  DistilOptions options;
  Teacher* teacher = nullptr;
};

}  // namespace axk1
