// From a conversation and its rules to what the engine is to compute: shared by the chat APIs.
#pragma once

#include <vector>

#include "engine/completion_service.h"
#include "server/answer_parts.h"
#include "server/answer_rules.h"
#include "server/served_model.h"

namespace axk1 {

struct ChatInputs {
  std::vector<CompletionInput> inputs;  // one per choice, with seeds of their own
  AnswerForm form;
  size_t prompt_tokens = 0;
};

// Renders `variables` (messages as read_chat_variables gives them, normalised) under `rules`.
// Throws ApiError or Error.
ChatInputs make_chat_inputs(const RequestScope& scope, const AnswerRules& rules,
                            json::object variables, const GenerateOptions& generate,
                            size_t num_choices, const BegunAnswer& begun = {});

// The model's defaults with the request's own seed.
GenerateOptions default_options(const RequestScope& scope);

}  // namespace axk1
