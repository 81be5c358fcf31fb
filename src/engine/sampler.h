// From logits to the next token.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {

// Applied in this order: penalties and bias, temperature, top_k, top_p, min_p.
struct SamplingOptions {
  float temperature = 1;         // 0: greedy, the largest logit (the lowest id of equal ones)
  int32_t top_k = 0;             // keep the k most likely; 0: all
  float top_p = 1;               // keep the fewest most likely whose probabilities reach p
  float min_p = 0;               // keep those with at least min_p times the largest probability
  float repetition_penalty = 1;  // Keskar et al. 2019: over prompt and answer
  float presence_penalty = 0;    // OpenAI: over the answer so far
  float frequency_penalty = 0;   // OpenAI: over the answer so far
  std::vector<std::pair<TokenId, float>> logit_bias;
  uint64_t seed = 0;
};

// Throws Error(kInvalidInput) naming the option that is out of range.
void check_sampling_options(const SamplingOptions& options, size_t vocab_size);

struct TokenLogprob {
  TokenId id;
  float logprob;  // natural logarithm, of the model's own distribution: before penalties and cuts
};

// One stream of choices. The same options, logits and history give the same choices.
class Sampler {
 public:
  Sampler(const SamplingOptions& options, size_t vocab_size);

  // logits [vocab_size]; `prompt` and `answer` are the tokens before this one.
  TokenId sample(std::span<const float> logits, std::span<const TokenId> prompt,
                 std::span<const TokenId> answer);

 private:
  struct Candidate {
    TokenId id;
    float weight;  // probability relative to the most likely one
  };
  SamplingOptions options_;
  Rng rng_;
  std::vector<float> scores_;     // [vocab_size]
  std::vector<uint32_t> counts_;  // [vocab_size], zero between calls
  std::vector<Candidate> candidates_;
};

// log softmax(logits)[id].
float logprob_of(std::span<const float> logits, TokenId id);

// The `count` most likely tokens, most likely first.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, size_t count);

}  // namespace axk1
