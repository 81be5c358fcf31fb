#include "engine/generate.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/answer.h"

namespace axk1 {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
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
  Answer answer(answer_model(engine), options, prompt.size());
  GenerateResult result;
  result.prompt_tokens = prompt.size();

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
  session.reserve(prompt.size() + std::min(answer.max_tokens(), kReservedTokens));

  const auto give = [&] {
    const std::string piece = answer.take_text();
    result.text += piece;
    return piece.empty() || !on_text || on_text(piece);
  };
  const auto decode_start = Clock::now();
  while (!answer.ended()) {
    const TokenId id = answer.choose(session.logits(), prompt);
    const bool wanted = give();
    if (answer.ended()) break;
    if (!wanted) {
      answer.cancel();
      give();
      break;
    }
    session.append(id);
  }
  result.ids = answer.ids();
  result.logprobs = std::move(answer.logprobs());
  result.finish_reason = answer.finish_reason();
  result.decode_seconds = seconds_since(decode_start);
  return result;
}

}  // namespace axk1
