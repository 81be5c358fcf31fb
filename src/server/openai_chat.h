// POST /v1/chat/completions.
#pragma once

#include "server/answer_writer.h"
#include "server/served_model.h"

namespace axk1 {

// Translates a request. Throws ApiError or Error. Pure, and may take as long as its prompt is long:
// not for the I/O thread.
PreparedRequest prepare_chat(const json::value& body, const RequestScope& scope);

}  // namespace axk1
