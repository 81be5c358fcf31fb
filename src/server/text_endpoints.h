// What is answered without computing the model: tokens, templates, names.
#pragma once

#include "io/json.h"
#include "server/served_model.h"

namespace axk1 {

// POST /tokenize: `prompt` or `content` (a string), with add_special_tokens / add_special (false)
// and parse_special (true), or `messages` through the chat template. Answers {tokens, count,
// max_model_len}, and token_strs with return_token_strs.
json::object tokenize(const json::value& body, const ServedModel& model);

// POST /detokenize: `tokens` -> {prompt, content}, both the text.
json::object detokenize(const json::value& body, const ServedModel& model);

// POST /apply-template: `messages`, `tools`, ... -> {prompt}.
json::object apply_template(const json::value& body, const ServedModel& model);

// GET /v1/models: the fields of OpenAI's and of Anthropic's list together.
json::object models_json(const ServedModel& model);
// GET /v1/models/NAME. Throws ApiError(404).
json::object model_json(const ServedModel& model, std::string_view name);

}  // namespace axk1
