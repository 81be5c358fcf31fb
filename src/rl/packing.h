// Answers of different lengths as batches of the trainer.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tokenizer/tokenizer.h"
#include "train/batch.h"

namespace axk1 {

struct PromptAndAnswer {
  std::span<const TokenId> prompt;  // at least one
  std::span<const TokenId> answer;  // at least one: the targets
};

struct PackedAnswers {
  struct Place {
    size_t batch = 0, first = 0;  // its answer's first target, in the batch's flat arrays
    size_t count = 0;             // targets
  };
  std::vector<TrainBatch> batches;
  std::vector<Place> places;  // of each answer, in the order given
};

// Each sequence stands whole in a row, several in one where they fit (first fit), rows as long as
// the longest; batches have up to `rows_at_once` rows. What is left of a row is padding without
// targets. With no sequences, no batches.
PackedAnswers pack_answers(std::span<const PromptAndAnswer> sequences, size_t rows_at_once);

}  // namespace axk1
