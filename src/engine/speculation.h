// Guessing what comes next: an answer that repeats its prompt or itself goes on as it did before
// ("prompt lookup"); and a model that has a layer of multi-token prediction guesses by that
// (engine/mtp_drafts.h). Guesses are checked in one step with the next token, and cost time when
// they are wrong, so they are only made while they pay.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
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
  // Of a step of so many rows; nothing until something is known.
  std::optional<double> seconds(size_t num_rows) const;

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
  double rate() const { return rate_; }

 private:
  double rate_ = 0.75;       // of drafts that were right: fades over some 16 of them
  size_t closed_until_ = 0;  // answer tokens
  size_t pause_ = 32;        // the next one; doubles each time it did not pay
};

// What a guess of multi-token prediction takes in a step of all sequences, in seconds: fading
// means, 0 until known.
class MtpCost {
 public:
  void record_first(double seconds);
  void record_next(double seconds);  // one that goes on from a guess
  double first() const { return first_; }
  double next() const { return next_ > 0 ? next_ : first_; }

 private:
  double first_ = 0, next_ = 0;
};

inline constexpr size_t kMaxMtpGuesses = 4;

// How often the guess of each depth is right, given that those before it are.
struct MtpRates {
  std::array<double, kMaxMtpGuesses> rate{0.75, 0.6, 0.5, 0.4};
  // A depth that was tried moves by `weight` of the way to what came of it; the first that was not
  // drifts back to where it began, so that it is tried again some time.
  void record(size_t proposed, size_t accepted, double weight);
  // Of so many guesses, how many are right in the mean.
  double expected(size_t num_guesses) const;
};

// How many tokens to guess for one sequence by multi-token prediction.
class MtpGate {
 public:
  MtpGate() = default;
  explicit MtpGate(const MtpRates& start) : rates_(start) {}

  // What the next step's guesses are decided by. seconds: of a step without guesses; row: what a
  // row more in each sequence adds to it. Absent until the costs are known.
  struct Costs {
    double seconds = 0, row = 0, first = 0, next = 0;
  };
  static std::optional<Costs> costs(const StepCost& step, const MtpCost& mtp, size_t num_sequences);

  // The number, at most `most`, that gives the most tokens a second, at that many answer tokens.
  // When that is none it stays so for a while: 32 tokens, then twice as long each time. While costs
  // are not known, one in every other step.
  size_t guesses(size_t num_tokens, const std::optional<Costs>& costs, size_t most);
  void record(size_t proposed, size_t accepted) { rates_.record(proposed, accepted, 1.0 / 16); }
  const MtpRates& rates() const { return rates_; }

 private:
  MtpRates rates_;
  size_t closed_until_ = 0;  // answer tokens
  size_t pause_ = 32;
  bool tried_ = false;  // in the step before, while costs are not known
};

}  // namespace axk1
