// The answer of /v1/responses: output items, and the events they grow by.
#pragma once

#include <memory>

#include "server/answer_parts.h"
#include "server/answer_writer.h"
#include "server/served_model.h"

namespace axk1 {

struct ResponsesForm {
  AnswerForm answer;
  bool stream = false;
  bool logprobs = false;
  size_t prompt_tokens = 0;
  json::object echo;  // fields of the request that the response repeats
};

std::unique_ptr<AnswerWriter> make_responses_writer(const RequestScope& scope, ResponsesForm form);

}  // namespace axk1
