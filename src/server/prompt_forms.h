// Prompts that are not conversations: a text, token ids, or several of either.
#pragma once

#include <string>
#include <vector>

#include "io/json.h"
#include "server/served_model.h"

namespace axk1 {

// The prompts of `field`: a string, an array of strings, an array of token ids, or an array of such
// arrays; at most `max_prompts`, none empty. Special tokens in texts are recognised, and what the
// tokenizer itself puts around a text is added. Throws json::FieldError, ApiError.
std::vector<std::vector<TokenId>> read_prompts(const json::ObjectReader& reader,
                                               std::string_view field, const ServedModel& model,
                                               size_t max_prompts);

}  // namespace axk1
