// POST /v1/messages and POST /v1/messages/count_tokens, Anthropic's API.
#pragma once

#include "server/answer_writer.h"
#include "server/served_model.h"

namespace axk1 {

// Translates a request. Throws ApiError or Error. Not for the I/O thread.
PreparedRequest prepare_messages(const json::value& body, const RequestScope& scope);

// {"input_tokens"}: of the rendered prompt.
json::object count_message_tokens(const json::value& body, const ServedModel& model);

}  // namespace axk1
