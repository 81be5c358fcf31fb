// Drafts from the layer of multi-token prediction: what it computes after each step of the model.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "engine/speculation.h"
#include "engine/step_model.h"

namespace axk1 {

// After every step the layer reads what the model has read, so that its cache keeps up; for rows
// whose guess nobody wants that is its latents alone, a small part of a layer. Guesses are the
// likeliest tokens. One thread at a time; allocates nothing once its lists have their size.
class MtpDrafts {
 public:
  // What the step computed of one sequence.
  struct Line {
    size_t first_row = 0;           // among the rows of the step
    size_t position = 0;            // of that row
    std::span<const TokenId> next;  // [rows], at least one: the token after each
    KvCache* cache = nullptr;
    size_t num_wanted = 0;  // guesses of what follows `next`; 0: none
    // Cleared, then filled: fewer than wanted where the cache has no block for another position.
    std::vector<TokenId>* guesses = nullptr;
  };

  // `model` has_mtp(). now: seconds on the clock that steps are measured by.
  MtpDrafts(StepModel& model, size_t max_sequences, std::function<double()> now);

  // Right after model.run(), once its logits are used. `learn`: whether the step is one that costs
  // are learned from, all of whose sequences decode. Throws what the model throws.
  void run(std::span<const Line> lines, bool learn);

  const MtpCost& cost() const { return cost_; }

 private:
  void add_guesses(std::span<const Line> lines);

  StepModel& model_;
  std::function<double()> now_;
  MtpCost cost_;
  std::vector<MtpInput> batch_;
  std::vector<size_t> active_, row_of_;  // [lines with a guess] line; row of its newest guess
};

}  // namespace axk1
