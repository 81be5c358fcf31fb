#include "engine/answer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace axk1 {

// Turns ids into text, and holds back what may be the beginning of a stop text.
class Answer::Text {
 public:
  Text(const Tokenizer& tokenizer, const GenerateOptions& options)
      : tokenizer_(tokenizer), options_(options), decoder_(tokenizer) {}

  // The text that became sure. Sets stopped() once a stop text is complete.
  std::string push(TokenId id) {
    if (tokenizer_.is_special(id)) {
      const std::string_view name = tokenizer_.token_bytes(id);
      const auto& visible = options_.visible_special;
      if (std::find(visible.begin(), visible.end(), name) == visible.end()) return "";
    }
    pending_ += decoder_.push(id);
    return release();
  }

  std::string finish() {
    if (stopped_) return "";
    pending_ += decoder_.flush();
    std::string sure = release();
    if (!stopped_) sure += std::exchange(pending_, "");
    return sure;
  }

  bool stopped() const { return stopped_; }

 private:
  std::string release() {
    size_t first = std::string::npos;  // of the stop text that begins first
    for (const std::string& stop : options_.stop) first = std::min(first, pending_.find(stop));
    if (first != std::string::npos) {
      stopped_ = true;
      std::string sure = pending_.substr(0, first);
      pending_.clear();
      return sure;
    }
    size_t held = 0;
    for (const std::string& stop : options_.stop) {
      for (size_t n = std::min(stop.size() - 1, pending_.size()); n > held; --n) {
        if (pending_.compare(pending_.size() - n, n, stop, 0, n) == 0) held = n;
      }
    }
    std::string sure = pending_.substr(0, pending_.size() - held);
    pending_.erase(0, sure.size());
    return sure;
  }

  const Tokenizer& tokenizer_;
  const GenerateOptions& options_;
  StreamDecoder decoder_;
  std::string pending_;
  bool stopped_ = false;
};

AnswerModel answer_model(const Engine& engine) {
  return {.tokenizer = engine.tokenizer(),
          .eos = engine.eos_token_ids(),
          .vocab_size = engine.vocab_size(),
          .context_tokens = engine.context_length(),
          .kernels = &engine.kernels()};
}

void check_generate_options(const GenerateOptions& options, const AnswerModel& model) {
  for (const std::string& stop : options.stop) {
    if (stop.empty()) fail(ErrorCode::kInvalidInput, "stop: an empty text would stop at once");
  }
  if (!options.stop.empty() && !model.tokenizer) {
    fail(ErrorCode::kInvalidInput,
         "stop: the model has no tokenizer, so there is no text to stop at");
  }
  check_sampling_options(options.sampling, model.vocab_size);
}

Answer::Answer(const AnswerModel& model, const GenerateOptions& options, size_t prompt_tokens,
               std::unique_ptr<TokenConstraint> constraint, std::shared_ptr<SamplerMemory> memory)
    : model_(model),
      options_((check_generate_options(options, model), options)),
      most_(options.max_tokens ? options.max_tokens : model.context_tokens),
      constraint_(std::move(constraint)),
      sampler_(options.sampling, model.vocab_size,
               memory ? std::move(memory)
                      : std::make_shared<SamplerMemory>(model.vocab_size, model.kernels)) {
  most_ = std::min(most_, model.context_tokens - std::min(prompt_tokens, model.context_tokens));
  if (constraint_) mask_.resize(token_mask_words(model.vocab_size));
  if (model.tokenizer) text_ = std::make_unique<Text>(*model.tokenizer, options_);
  if (most_ == 0) end(FinishReason::kLength);
}

Answer::~Answer() = default;

TokenId Answer::choose(std::span<const float> logits, std::span<const TokenId> prompt) {
  AXK1_CHECK(!ended_);
  std::span<const uint32_t> allowed;
  if (constraint_ && !constraint_->allows_all()) {
    constraint_->allowed(mask_);
    allowed = mask_;
  }
  const TokenId id = sampler_.sample(logits, prompt, ids_, allowed);
  if (constraint_ && !constraint_->push(id)) {
    fail(ErrorCode::kInvalidInput, "the constraint allows token ", id, " and then refuses it");
  }
  ids_.push_back(id);
  if (options_.top_logprobs >= 0) {
    logprobs_.push_back({{id, logprob_of(logits, id)},
                         top_logprobs(logits, static_cast<size_t>(options_.top_logprobs))});
  }
  const auto holds = [&](std::span<const TokenId> ids) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  if ((!options_.ignore_eos && holds(model_.eos)) || holds(options_.stop_ids)) {
    end(FinishReason::kStop);
    return id;
  }
  if (text_) {
    sure_ += text_->push(id);
    if (text_->stopped()) {
      end(FinishReason::kStop);
      return id;
    }
  }
  if (ids_.size() >= most_) end(FinishReason::kLength);
  return id;
}

void Answer::end(FinishReason reason) {
  ended_ = true;
  reason_ = reason;
  if (!text_ || text_->stopped()) return;
  sure_ += text_->finish();
  if (text_->stopped()) reason_ = FinishReason::kStop;
}

void Answer::cancel() {
  if (!ended_) end(FinishReason::kCancelled);
}

std::string Answer::take_text() {
  return std::exchange(sure_, "");
}

}  // namespace axk1
