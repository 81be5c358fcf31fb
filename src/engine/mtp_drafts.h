// Drafts from the layer of multi-token prediction: what it computes after each step of the model.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "engine/speculation.h"
#include "engine/step_model.h"

namespace axk1 {

// Hidden states of one sequence that the layer has not read yet.
class MtpPending {
 public:
  // At most max_rows of a step; of a block of the cache and that.
  MtpPending(size_t hidden_size, size_t max_rows);
  static size_t bytes(size_t hidden_size, size_t max_rows);
  void clear() { count_ = 0; }

 private:
  friend class MtpDrafts;
  size_t width_;
  size_t position_ = 0, count_ = 0;  // of the first row; rows
  std::vector<float> rows_;          // [rows, hidden]
};

// The layer must have read a row before a later one can attend to it, and before the row's block is
// shared. So it reads prompts at once; and of a sequence that decodes the rows are kept until a
// guess is wanted or a block is full: a batch of them costs little more than one. Guesses are the
// likeliest tokens. One thread at a time; allocates nothing once its lists have their size.
class MtpDrafts {
 public:
  // What the step computed of one sequence.
  struct Line {
    size_t first_row = 0;             // among the rows of the step
    size_t position = 0;              // of that row
    size_t num_rows = 0;              // at least one
    std::span<const TokenId> tokens;  // the whole line, beyond position + num_rows at least
    KvCache* cache = nullptr;
    MtpPending* pending = nullptr;
    size_t num_wanted = 0;  // guesses of what follows `tokens`; only with position + num_rows + 1
                            // of them, and so from sequences that decode; 0: none
    // Cleared, then filled: fewer than wanted where the cache has no block for another position.
    std::vector<TokenId>* guesses = nullptr;
  };

  // `model` has_mtp(). max_rows: as of MtpPending. now: seconds on the clock that steps are
  // measured by.
  MtpDrafts(StepModel& model, size_t max_sequences, size_t max_rows, std::function<double()> now);

  // Right after model.run(), once its logits are used. `learn`: whether the step is one that costs
  // are learned from, all of whose sequences decode. Throws what the model throws.
  void run(std::span<const Line> lines, bool learn);

  const MtpCost& cost() const { return cost_; }

 private:
  void read_prompts(std::span<const Line> lines);
  void read_pending(std::span<const Line> lines);
  void add_rows(const Line& line, size_t first, size_t count, bool logits);
  void run_batch();
  void add_guesses(std::span<const Line> lines);

  StepModel& model_;
  const size_t max_rows_;
  std::function<double()> now_;
  MtpCost cost_;
  std::vector<MtpInput> batch_;
  size_t batch_rows_ = 0;
  std::vector<size_t> active_, row_of_;  // [lines with a guess] line; row of its newest guess
};

}  // namespace axk1
