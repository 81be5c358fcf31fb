#include "rl/packing.h"

#include <algorithm>

#include "base/check.h"

namespace axk1 {

PackedAnswers pack_answers(std::span<const PromptAndAnswer> sequences, size_t rows_at_once) {
  PackedAnswers packed;
  if (sequences.empty()) return packed;
  // The last token is a target only.
  const auto length = [](const PromptAndAnswer& s) {
    return s.prompt.size() + s.answer.size() - 1;
  };
  size_t row_length = 0;
  for (const PromptAndAnswer& s : sequences) {
    AXK1_CHECK(!s.prompt.empty() && !s.answer.empty());
    row_length = std::max(row_length, length(s));
  }
  std::vector<size_t> used;  // of each row
  std::vector<size_t> row_of, column_of;
  for (const PromptAndAnswer& s : sequences) {
    const auto fits = [&](size_t taken) { return taken + length(s) <= row_length; };
    auto row = std::ranges::find_if(used, fits);
    if (row == used.end()) row = used.insert(used.end(), 0);
    row_of.push_back(static_cast<size_t>(row - used.begin()));
    column_of.push_back(*row);
    *row += length(s);
  }
  for (size_t first = 0; first < used.size(); first += rows_at_once) {
    const size_t rows = std::min(rows_at_once, used.size() - first), tokens = rows * row_length;
    TrainBatch& batch = packed.batches.emplace_back();
    batch.rows = rows;
    batch.row_length = row_length;
    batch.inputs.assign(tokens, 0);
    batch.targets.assign(tokens, TrainBatch::kNoTarget);
    batch.positions.assign(tokens, 0);
    batch.weights.assign(tokens, 0);
    // Padding is a document of its own.
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = used[first + r]; c < row_length; ++c) {
        batch.positions[r * row_length + c] = static_cast<int32_t>(c - used[first + r]);
      }
    }
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    const PromptAndAnswer& s = sequences[i];
    const size_t index = row_of[i] / rows_at_once;
    const size_t begin = row_of[i] % rows_at_once * row_length + column_of[i];
    TrainBatch& batch = packed.batches[index];
    const auto token = [&](size_t t) {
      return t < s.prompt.size() ? s.prompt[t] : s.answer[t - s.prompt.size()];
    };
    for (size_t t = 0; t < length(s); ++t) {
      batch.inputs[begin + t] = token(t);
      batch.positions[begin + t] = static_cast<int32_t>(t);
      if (t + 1 >= s.prompt.size()) batch.targets[begin + t] = token(t + 1);
    }
    packed.places.push_back(
        {.batch = index, .first = begin + s.prompt.size() - 1, .count = s.answer.size()});
  }
  return packed;
}

}  // namespace axk1
