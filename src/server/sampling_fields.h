// The fields of a request that say how an answer is made, named as in the OpenAI API and vLLM.
// `axk1 run --jsonl` and every endpoint read them here.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "engine/generate.h"
#include "io/json.h"

namespace axk1 {

struct SamplingLimits {
  int64_t min_max_tokens = 1;      // least value of max_tokens
  int64_t max_logprobs = 1 << 20;  // most alternatives per token
};

// temperature, top_p, top_k (-1: all), min_p, seed, max_tokens, max_completion_tokens (goes before
// max_tokens), stop (text or array of at most 64), stop_token_ids, logprobs (bool, or the number of
// alternatives), top_logprobs, presence_penalty, frequency_penalty, repetition_penalty, logit_bias
// (object: id -> bias), ignore_eos. What is absent or null comes from `defaults`. Throws
// json::FieldError.
GenerateOptions read_generate_options(const json::ObjectReader& reader,
                                      const GenerateOptions& defaults,
                                      const SamplingLimits& limits = {});

// The text or texts of `field`: at most 64, none empty.
std::vector<std::string> read_stop_texts(const json::ObjectReader& reader, std::string_view field,
                                         const json::value& v);

std::vector<TokenId> read_token_ids(const json::ObjectReader& reader, std::string_view field,
                                    const json::value& v);

// A field that would change the answer and is not computed, and the only value (besides null) that
// asks for nothing, as JSON.
struct NeutralField {
  const char* name;
  const char* neutral;
};

// Throws json::FieldError(kUnsupported) for the first of `fields` that asks for something.
void refuse_unless_neutral(const json::ObjectReader& reader, std::span<const NeutralField> fields);

}  // namespace axk1
