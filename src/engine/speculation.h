// Guessing what comes next without a second model: an answer that repeats its prompt or itself goes
// on as it did before ("prompt lookup"). Guesses are checked in one step with the next token, and
// cost time when they are wrong, so they are only made while they pay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace axk1 {

// Where each run of kGram tokens was last seen in one sequence. Memory is taken at construction.
class PromptLookup {
 public:
  static constexpr size_t kGram = 3;

  // Remembers about as many places as the context has tokens, at most 2^16.
  explicit PromptLookup(size_t context_tokens);
  size_t bytes() const { return last_.size() * sizeof(uint32_t); }

  void clear();
  // `tokens` has grown from what it was at the call before. Puts into `drafts` (cleared first) the
  // at most `most` tokens that followed the last time that its end was seen.
  void propose(std::span<const TokenId> tokens, size_t most, std::vector<TokenId>& drafts);

 private:
  std::vector<uint32_t> last_;  // by hash: the position behind the run; 0: none
  size_t num_seen_ = 0;         // positions entered
};

// What a row more costs, learned from steps that only decode: seconds = fixed + each * rows, by
// least squares with weights that fade.
class StepCost {
 public:
  void record(size_t rows, double seconds);
  // The share of a step of so many sequences, one row each, that grows with the rows: a draft must
  // be right more often than this to pay. 0.5 until something is known.
  double row_share(size_t num_sequences) const;

 private:
  double weight_ = 0, rows_ = 0, seconds_ = 0, rows2_ = 0, both_ = 0;
  double fixed_ = 1, each_ = 0;
  bool known_ = false;
};

// How often the drafts of one sequence are right, and whether to make more.
class DraftGate {
 public:
  // Whether to propose for the next step, at that many answer tokens.
  bool open(size_t num_tokens, double row_share);
  void record(size_t proposed, size_t accepted);

 private:
  double rate_ = 0.75;       // of drafts that were right: fades over some 16 of them
  size_t closed_until_ = 0;  // answer tokens
  size_t pause_ = 32;        // the next one; doubles each time it did not pay
};

}  // namespace axk1
