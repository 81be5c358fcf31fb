// POST /v1/responses.
#pragma once

#include "server/answer_writer.h"
#include "server/served_model.h"

namespace axk1 {

// Translates a request. Throws ApiError or Error. Not for the I/O thread.
PreparedRequest prepare_responses(const json::value& body, const RequestScope& scope);

}  // namespace axk1
