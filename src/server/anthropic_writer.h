// The answer of /v1/messages: content blocks, and the events they grow by.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/answer_parts.h"
#include "server/answer_writer.h"
#include "server/served_model.h"

namespace axk1 {

struct AnthropicForm {
  AnswerForm answer;
  bool stream = false;
  std::vector<std::string> stops;
  size_t prompt_tokens = 0;
};

std::unique_ptr<AnswerWriter> make_anthropic_writer(const RequestScope& scope, AnthropicForm form);

}  // namespace axk1
