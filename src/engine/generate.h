// One answer to one prompt: the loop over a session, sampler, stop conditions and decoding.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/sampler.h"

namespace axk1 {

struct GenerateOptions {
  SamplingOptions sampling;
  size_t max_tokens = 0;          // 0: until the context is full
  std::vector<std::string> stop;  // texts that end the answer and are not part of it
  std::vector<TokenId> stop_ids;  // besides the model's end tokens
  bool ignore_eos = false;        // go on past the model's end tokens
  int top_logprobs = -1;          // -1: no log-probabilities; n: of the token and of the n best
  // Special tokens are left out of the text, except these, which mark parts of an answer.
  std::vector<std::string> visible_special = {"<think>", "</think>", "<tool_call>", "</tool_call>"};
};

enum class FinishReason { kStop, kLength, kCancelled };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled"

struct StepLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
};

struct GenerateResult {
  std::vector<TokenId> ids;  // with the end token when there was one
  std::string text;          // valid UTF-8, without the end token and the stop text
  FinishReason finish_reason = FinishReason::kStop;
  std::vector<StepLogprobs> logprobs;  // [ids] when asked for
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;  // of the prompt, already in the session
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

// Called with text that is complete and surely part of the answer (whole characters, no part of a
// stop text), in order, concatenating to GenerateResult::text. Returning false cancels.
using OnText = std::function<bool(std::string_view text)>;

// Makes `session` hold the prompt, then generates. Afterwards the session holds prompt and ids
// (but for the last id, which no step has read). Without a tokenizer the text stays empty and stop
// texts are refused. Throws Error(kInvalidInput) for an empty prompt, one that does not fit the
// context, or options out of range. `prefill` may cancel too.
GenerateResult generate(Session& session, std::span<const TokenId> prompt,
                        const GenerateOptions& options, const OnText& on_text = {},
                        const Session::Progress& prefill = {});

}  // namespace axk1
