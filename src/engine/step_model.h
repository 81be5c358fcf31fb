// What the completion service needs of a model: run a batch of sequences, hand out logits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/answer.h"
#include "engine/engine.h"
#include "model/forward.h"

namespace axk1 {

// Bytes that a model holds before the service adds anything.
struct ModelMemory {
  uint64_t weights = 0;  // mapped files and copies
  uint64_t scratch = 0;  // activations of one step
};

// One thread at a time may run steps; the const members: any. Must give a token the same logits, to
// the last bit, whatever its batch and however its sequence was cut into steps.
class StepModel {
 public:
  virtual ~StepModel() = default;

  virtual AnswerModel answer_model() const = 0;
  virtual size_t max_step_tokens() const = 0;
  virtual ModelMemory memory() const = 0;

  virtual KvCache new_cache() const = 0;
  virtual size_t block_bytes() const = 0;
  // Equal for models whose cache blocks mean the same, to the last bit.
  virtual uint64_t fingerprint() const = 0;

  // Forward::run() and Forward::logits().
  virtual void run(std::span<const SequenceInput> batch) = 0;
  virtual std::span<const float> logits(size_t first_row, size_t count) = 0;
  virtual void reserve_logits(size_t rows) = 0;

  // Whether it guesses further tokens: then new_cache() has a layer for that, and sequences whose
  // rows are given to run_mtp() are run with all_hidden. Forward::run_mtp(); the absorbed form.
  virtual bool has_mtp() const { return false; }
  virtual void run_mtp(std::span<const MtpInput> batch);
  // Rows of the last run(), each hidden_size() numbers, for a later run_mtp().
  virtual size_t hidden_size() const { return 0; }
  virtual void copy_hidden(size_t first_row, size_t count, float* to) const;
};

// The engine's model. Attention is always in its absorbed form: of the two it is the one that takes
// single rows well, and a form that changed with the length of a chunk would change last bits.
// `mtp`: use its layer of multi-token prediction, if it has one.
std::unique_ptr<StepModel> make_engine_model(Engine& engine, bool mtp = false);

// Computes nothing and answers every prompt with the same tokens, again and again: to measure what
// surrounds a model. `engine` lends vocabulary, context length and step size.
std::unique_ptr<StepModel> make_null_model(Engine& engine);

}  // namespace axk1
