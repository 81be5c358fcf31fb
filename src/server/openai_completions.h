// POST /v1/completions and POST /v1/score.
#pragma once

#include "server/answer_writer.h"
#include "server/served_model.h"

namespace axk1 {

// Text completion, also of token ids. Throws ApiError or Error. Not for the I/O thread.
PreparedRequest prepare_completions(const json::value& body, const RequestScope& scope);

// Log-probabilities of given texts: nothing is generated that anybody sees. `input` as the prompts
// of /v1/completions; `top_logprobs`: alternatives per position.
PreparedRequest prepare_score(const json::value& body, const RequestScope& scope);

}  // namespace axk1
