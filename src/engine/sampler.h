// From logits to the next token.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "kernels/kernel_table.h"
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

// What a choice is worked out in; may be shared by samplers that one thread uses in turn.
class SamplerMemory {
 public:
  // `kernels` gives the exponential and must outlive this; null: the best of this machine.
  explicit SamplerMemory(size_t vocab_size, const KernelTable* kernels = nullptr);
  static size_t bytes(size_t vocab_size);

 private:
  friend class Sampler;
  static constexpr size_t kBlockTokens = 256;

  decltype(KernelTable::softmax_block) softmax_block_;
  std::vector<float> scores_;     // [vocab_size], later the weights; zeros up to whole blocks
  std::vector<uint32_t> counts_;  // [vocab_size], zero between calls
  std::vector<float> heaviest_;   // of each block of weights
};

// One stream of choices. The same options, logits and history give the same choices.
class Sampler {
 public:
  // `memory` is of the same vocab_size; null: the sampler gets its own.
  Sampler(const SamplingOptions& options, size_t vocab_size,
          std::shared_ptr<SamplerMemory> memory = nullptr);

  // logits [vocab_size]; `prompt` and `answer` are the tokens before this one. `allowed`: a mask as
  // in grammar/token_constraint.h, not empty of tokens; without words every token may be chosen.
  TokenId sample(std::span<const float> logits, std::span<const TokenId> prompt,
                 std::span<const TokenId> answer, std::span<const uint32_t> allowed = {});

 private:
  // What may be drawn: all weights above `lightest`, and the first `equal` of those that are it;
  // `weight` together.
  struct Cut {
    static constexpr size_t kAll = SIZE_MAX;
    float lightest;
    size_t equal;
    double weight;
  };
  struct Mass {
    double weight;
    size_t count;
  };

  TokenId choose(std::span<const float> scores);
  void weigh(std::span<const float> scores, float max);
  Mass block_mass(size_t index, float lightest) const;
  Mass mass(float lightest) const;
  Cut cut(double total) const;
  TokenId draw(const Cut& cut);

  SamplingOptions options_;
  Rng rng_;
  size_t vocab_size_;
  std::shared_ptr<SamplerMemory> memory_;
};

// The index of the largest number, the first of equal ones; NaN is never the largest.
size_t index_of_max(std::span<const float> x);

// log softmax(logits)[id].
float logprob_of(std::span<const float> logits, TokenId id);

// The `count` most likely tokens, most likely first.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, size_t count);

}  // namespace axk1
