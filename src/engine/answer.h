// One growing answer: which token is chosen, what text it makes, when it ends. Whoever computes the
// logits (a session, the completion service) hands them over row by row.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/generate.h"
#include "engine/sampler.h"
#include "grammar/token_constraint.h"

namespace axk1 {

// What an answer knows of its model. All outlive the answer.
struct AnswerModel {
  const Tokenizer* tokenizer = nullptr;  // or null: no text
  std::span<const TokenId> eos;
  size_t vocab_size = 0;
  size_t context_tokens = 0;             // prompt and answer together
  const KernelTable* kernels = nullptr;  // null: the best of this machine
};

AnswerModel answer_model(const Engine& engine);

// Throws Error(kInvalidInput) naming the option that is out of range, or needs a tokenizer that is
// not there.
void check_generate_options(const GenerateOptions& options, const AnswerModel& model);

// One thread at a time.
class Answer {
 public:
  // Checks the options. `constraint` may be null.
  Answer(const AnswerModel& model, const GenerateOptions& options, size_t prompt_tokens,
         std::unique_ptr<TokenConstraint> constraint = nullptr,
         std::shared_ptr<SamplerMemory> memory = nullptr);
  ~Answer();
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  // Chooses the token that follows, from logits [vocab_size]; not once ended(). Throws what the
  // constraint throws.
  TokenId choose(std::span<const float> logits, std::span<const TokenId> prompt);
  // Ends it before its time.
  void cancel();

  bool ended() const { return ended_; }
  FinishReason finish_reason() const { return reason_; }  // once ended
  size_t max_tokens() const { return most_; }
  const std::vector<TokenId>& ids() const { return ids_; }

  // Text that became surely part of the answer since the last call, whole characters only.
  std::string take_text();
  std::vector<StepLogprobs>& logprobs() { return logprobs_; }  // callers may move them out

 private:
  class Text;
  void end(FinishReason reason);

  AnswerModel model_;
  GenerateOptions options_;
  size_t most_;
  std::unique_ptr<TokenConstraint> constraint_;
  std::vector<uint32_t> mask_;
  Sampler sampler_;
  std::unique_ptr<Text> text_;
  std::string sure_;
  std::vector<TokenId> ids_;
  std::vector<StepLogprobs> logprobs_;
  bool ended_ = false;
  FinishReason reason_ = FinishReason::kLength;
};

}  // namespace axk1
