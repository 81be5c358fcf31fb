// Tokens and their log-probabilities as JSON.
#pragma once

#include <span>

#include "engine/generate.h"
#include "io/json.h"

namespace axk1 {

// The text of a token alone: what does not make a character of its own is U+FFFD.
std::string token_text(const Tokenizer& tokenizer, TokenId id);

// {id, token, bytes, logprob}; id and logprob alone without a tokenizer. `token` is the text above
// and `bytes` what it really stands for: the concatenated bytes of an answer's tokens are its text,
// whatever characters they cut.
json::object token_json(const Tokenizer* tokenizer, const TokenLogprob& token);

// token_json of the chosen one with top_logprobs: [token_json].
json::object step_json(const Tokenizer* tokenizer, const StepLogprobs& step);

json::array steps_json(const Tokenizer* tokenizer, std::span<const StepLogprobs> steps);

// JSON has no infinity, which a token that was biased in from probability 0 would have.
double finite_logprob(float logprob);

}  // namespace axk1
