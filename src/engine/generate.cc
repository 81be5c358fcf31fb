#include "engine/generate.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/error.h"

namespace axk1 {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Turns ids into text, and holds back what may be the beginning of a stop text.
class AnswerText {
 public:
  AnswerText(const Tokenizer& tokenizer, const GenerateOptions& options)
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

void check_options(const GenerateOptions& options, const Tokenizer* tokenizer) {
  for (const std::string& stop : options.stop) {
    if (stop.empty()) fail(ErrorCode::kInvalidInput, "stop: an empty text would stop at once");
  }
  if (!options.stop.empty() && !tokenizer) {
    fail(ErrorCode::kInvalidInput,
         "stop: the model has no tokenizer, so there is no text to stop at");
  }
}

}  // namespace

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "?";
}

GenerateResult generate(Session& session, std::span<const TokenId> prompt,
                        const GenerateOptions& options, const OnText& on_text,
                        const Session::Progress& prefill) {
  Engine& engine = session.engine();
  check_options(options, engine.tokenizer());
  Sampler sampler(options.sampling, engine.vocab_size());
  GenerateResult result;
  result.prompt_tokens = prompt.size();
  size_t most = options.max_tokens ? options.max_tokens : engine.context_length();
  most = std::min(most, engine.context_length() - std::min(prompt.size(), engine.context_length()));

  const auto prefill_start = Clock::now();
  size_t num_read = 0;
  const bool read_all = session.set_tokens(prompt, [&](size_t done, size_t total) {
    num_read = total;
    return !prefill || prefill(done, total);
  });
  result.cached_tokens = prompt.size() - num_read;
  result.prefill_seconds = seconds_since(prefill_start);
  if (!read_all) {
    result.finish_reason = FinishReason::kCancelled;
    return result;
  }
  // Steps take more cache memory when an answer outgrows this; a whole context of a large model
  // would be gigabytes that most answers never touch.
  constexpr size_t kReservedTokens = 1024;
  session.reserve(prompt.size() + std::min(most, kReservedTokens));
  result.ids.reserve(most);

  std::optional<AnswerText> text;
  if (engine.tokenizer()) text.emplace(*engine.tokenizer(), options);
  const auto give = [&](const std::string& piece) {
    result.text += piece;
    return piece.empty() || !on_text || on_text(piece);
  };
  const auto ends = [](const std::vector<TokenId>& ids, TokenId id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };

  const auto decode_start = Clock::now();
  result.finish_reason = FinishReason::kLength;
  while (result.ids.size() < most) {
    const std::span<const float> logits = session.logits();
    const TokenId id = sampler.sample(logits, prompt, result.ids);
    result.ids.push_back(id);
    if (options.top_logprobs >= 0) {
      result.logprobs.push_back({{id, logprob_of(logits, id)},
                                 top_logprobs(logits, static_cast<size_t>(options.top_logprobs))});
    }
    if ((!options.ignore_eos && ends(engine.eos_token_ids(), id)) || ends(options.stop_ids, id)) {
      result.finish_reason = FinishReason::kStop;
      break;
    }
    if (text) {
      const bool wanted = give(text->push(id));
      if (text->stopped()) {
        result.finish_reason = FinishReason::kStop;
        break;
      }
      if (!wanted) {
        result.finish_reason = FinishReason::kCancelled;
        break;
      }
    }
    if (result.ids.size() < most) session.append(id);
  }
  if (text) {
    give(text->finish());
    if (text->stopped()) result.finish_reason = FinishReason::kStop;
  }
  result.decode_seconds = seconds_since(decode_start);
  return result;
}

}  // namespace axk1
